package agent

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/report"
)

// What an agent may send. The root user of a virtual machine can put another program in the
// agent's place, so no size is the agent's to choose. An agent of ours stays far below each.
const (
	// ReplyMax is the largest message to a client, HeaderMax the largest list of headers, in bytes.
	ReplyMax  = 1 << 20
	HeaderMax = 64 << 10
	// infoMax is the largest of what an agent says of itself, in bytes: it is made of small parts, which take
	// more memory than they have bytes. Those that may be there have far less.
	infoMax = 128 << 10
	// PortsMax is how many ports one container may publish, or all together.
	PortsMax = 10_000
	// textMax is the longest text that is shown, in bytes; more is cut off.
	textMax = 4 << 10
	// eventsMax is how many events one call may tell of, eventMax the longest text of one in bytes;
	// daemonsMax is how many daemons there may be.
	eventsMax  = 10_000
	eventMax   = 256
	daemonsMax = 16
	// questionsMax is how many requests for credentials may wait for their answer.
	questionsMax = 256
	// grantMax is the most input, in bytes, that may be granted at once.
	grantMax = 1 << 30
	// fetchMax is the largest staged file that is brought back, in bytes.
	fetchMax = 16 << 20
)

// ErrBreach is in every error about an agent that breaks the protocol or one of its limits.
var ErrBreach = fmt.Errorf("the guest's agent does not keep to the protocol")

// breach is an error about an agent that sends what none of ours does.
func breach(format string, values ...any) error {
	return hint.With(fmt.Errorf("%w: it %s", ErrBreach, fmt.Sprintf(format, values...)),
		"stop the engine (linnet engine stop); what answers there is no agent of linnet's")
}

// tooLarge is how grpc-go begins its error about a message beyond MaxCallRecvMsgSize (recvMsg in
// its rpc_util.go).
const tooLarge = "grpc: received message larger than max"

// said is a text of an agent's, fit to be shown.
func said(text string) string { return report.Clean(cutText(text, textMax)) }

// cutText cuts a text to so many bytes and says so.
func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + " [...]"
}

// tidy makes what an agent says of itself fit to be shown.
func tidy(info *agentpb.InfoReply) (*agentpb.InfoReply, error) {
	if n := len(info.GetDaemons()); n > daemonsMax {
		return nil, breach("tells of %d daemons, and %d are the most", n, daemonsMax)
	}
	for _, text := range []*string{&info.Version, &info.Bridge, &info.Subnet, &info.Program} {
		*text = said(*text)
	}
	for _, d := range info.GetDaemons() {
		for _, text := range []*string{&d.Name, &d.State, &d.Socket, &d.LastError} {
			*text = said(*text)
		}
	}
	return info, nil
}

// checkStage refuses a stage that could be something else on a command line than a directory.
func checkStage(made *agentpb.HoldReply) error {
	dir := made.GetDir()
	if len(dir) > 1024 || !path.IsAbs(dir) || strings.ContainsFunc(dir, func(r rune) bool { return r < ' ' }) {
		return breach("says that files are staged in %s", said(fmt.Sprintf("%.100q", dir)))
	}
	return nil
}
