package build

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/solver/errdefs"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Error is a build that ran and failed.
type Error struct {
	// Where is the file and line, empty where there is none, and Text what went wrong.
	Where, Text string
	Err         error
}

func (e *Error) Error() string {
	if e.Where == "" {
		return "building: " + e.Text
	}
	return fmt.Sprintf("building: %s: %s", e.Where, e.Text)
}

func (e *Error) Unwrap() error { return e.Err }

// explain puts BuildKit's error into one line: the place in the Dockerfile where there is one,
// what went wrong, and what can be done.
func (j *job) explain(ctx context.Context, err error) error {
	var no *refused
	switch {
	case errors.As(context.Cause(ctx), &no):
		err = no.error
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if j.failed != nil {
		err = j.failed
	}
	e := &Error{Where: j.where(err), Text: Plain(err.Error()), Err: err}
	fix := ""
	for _, k := range known {
		m := k.match.FindStringSubmatch(e.Text)
		if m == nil {
			continue
		}
		text, hint := k.say(j, m)
		if text != "" {
			e.Text = text
		}
		if e.Where == "" && k.line {
			_, name, _ := strings.Cut(m[1], ".") // --security=insecure, --network=host
			e.Where = j.find("=" + name)
		}
		fix = hint
		break
	}
	if fix == "" {
		return e
	}
	return &hint.Error{Err: e, Fix: fix}
}

// where is the place of an error in the Dockerfile, in the user's name for it.
func (j *job) where(err error) (where string) {
	for _, s := range errdefs.Sources(err) {
		if s.Info == nil || len(s.Ranges) == 0 {
			continue
		}
		name := s.Info.Filename
		if name == j.file.Name {
			name = j.file.Shown
		}
		where = fmt.Sprintf("%s:%d", name, s.Ranges[0].Start.Line)
	}
	var place *parser.LocationError
	if where == "" && errors.As(err, &place) && len(place.Locations) > 0 && len(place.Locations[0]) > 0 {
		where = fmt.Sprintf("%s:%d", j.file.Shown, place.Locations[0][0].Start.Line)
	}
	return where
}

// find is the first line of the Dockerfile with a text.
func (j *job) find(text string) string {
	for i, line := range strings.Split(string(j.file.Text), "\n") {
		if strings.Contains(line, text) {
			return fmt.Sprintf("%s:%d", j.file.Shown, i+1)
		}
	}
	return ""
}

// stages are the names of the Dockerfile's stages.
func (j *job) stages() (names []string) {
	for _, s := range j.parsed() {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

// What BuildKit's layers say to each other, and no user needs to read.
var (
	leads = regexp.MustCompile(`^(failed to solve: |rpc error: |code = \w+ desc = |failed to load LLB: |failed to load cache key: |` +
		`failed to read dockerfile: |failed to compute cache key: |failed to build: |error: |` +
		`dockerfile parse error on line \d+: )+`)
	checksum = regexp.MustCompile(`failed to calculate checksum of ref \S+: `)
	resolve  = regexp.MustCompile(`^(?:\S+: )?failed to resolve source metadata for (\S+): `)
	fatal    = regexp.MustCompile(`(?m)^fatal: (.*)$`)
)

// Plain is an error of BuildKit's in one line, without what its layers say to each other.
func Plain(text string) string {
	text = leads.ReplaceAllString(strings.TrimSpace(text), "")
	first, rest, _ := strings.Cut(text, "\n")
	if m := fatal.FindStringSubmatch(rest); m != nil {
		first = strings.TrimSuffix(first, ": git stderr:") + ": " + m[1]
	}
	first = wrapperPrefix.ReplaceAllString(checksum.ReplaceAllString(first, ""), "")
	return resolve.ReplaceAllString(first, "resolving $1: ")
}

// always is a fixed hint that leaves the text as it is.
func always(fix string) func(*job, []string) (string, string) {
	return func(*job, []string) (string, string) { return "", fix }
}

// known are the errors that something can be said about; the first that matches counts. line
// says that it is about an option of a step whose line BuildKit does not name. They go by texts: BuildKit has no types for
// them, or the engine's answer has lost them.
var known = []struct {
	match *regexp.Regexp
	say   func(j *job, m []string) (text, fix string)
	line  bool
}{
	{match: regexp.MustCompile(`^target stage "(.+)" could not be found`), say: func(j *job, m []string) (string, string) {
		if names := j.stages(); len(names) > 0 {
			return fmt.Sprintf("%s has no stage %q", j.file.Shown, m[1]), "it has " + strings.Join(names, ", ")
		}
		return fmt.Sprintf("%s has no stage %q", j.file.Shown, m[1]), "name one with FROM ... AS " + m[1]
	}},
	{match: regexp.MustCompile(`secret (\S+): not found`), say: func(_ *job, m []string) (string, string) {
		return fmt.Sprintf("the step needs the secret %s, which was not supplied", m[1]), fmt.Sprintf("--secret id=%s,src=FILE or --secret id=%s,env=VARIABLE", m[1], m[1])
	}},
	{match: regexp.MustCompile(`no SSH key "(.*)" forwarded from the client`), say: func(_ *job, m []string) (string, string) {
		id := m[1]
		if id == "" {
			id = "default"
		}
		return fmt.Sprintf("the SSH agent %q is needed, and was not supplied", id), "--ssh " + id + ", or --ssh " + id + "=KEYFILE"
	}},
	{match: regexp.MustCompile(`^(security\.insecure|network\.host) is not allowed`), line: true, say: func(j *job, m []string) (string, string) {
		return fmt.Sprintf("a step asks for %s, which is not allowed", m[1]), fmt.Sprintf("--allow %s, if you trust the Dockerfile with it", m[1])
	}},
	{match: regexp.MustCompile(`no space left on device|disk quota exceeded`), say: always("free some: linnet cache prune, linnet image prune; linnet engine status says what takes how much")},
	{match: regexp.MustCompile(`denied by policy`), say: always("the source policy forbids it: --source-policy-file, or EXPERIMENTAL_BUILDKIT_SOURCE_POLICY")},
	{match: regexp.MustCompile(`docker/dockerfile`), say: func(*job, []string) (string, string) {
		return "", "up to " + Syntax() + " no registry is needed; other frontends are fetched"
	}},
	{match: regexp.MustCompile(`server gave HTTP response to HTTPS client`), say: always("a registry without TLS has to be listed in the setting engine.registries.insecure")},
	{match: regexp.MustCompile(`401 Unauthorized|403 Forbidden|authorization failed|failed to authorize|insufficient_scope|access denied|no basic auth credentials|failed to fetch (oauth|anonymous) token`), say: always("check the image's name; if the registry wants credentials: linnet login REGISTRY")},
	{match: regexp.MustCompile(`no such host|connection refused|i/o timeout|network is unreachable|no route to host|TLS handshake timeout|server misbehaving`), say: always("check the name and the network: it cannot be reached from the engine")},
	{match: regexp.MustCompile(`^resolving (\S+): .*: not found`), say: func(_ *job, m []string) (string, string) {
		return fmt.Sprintf("there is no image %s, here or at its registry", m[1]), "check the name and the tag; linnet images lists what is here"
	}},
	{match: regexp.MustCompile(`^"/?(.+)": not found`), say: func(_ *job, m []string) (string, string) {
		return fmt.Sprintf("%q is not there to be copied", m[1]), "check the path, from the top of the build context or of what --from names, and .dockerignore"
	}},
	{match: regexp.MustCompile(`error from sender: (?:open|reading) (.+: permission denied)`), say: func(_ *job, m []string) (string, string) {
		return "reading the build context: " + m[1], "what a build does not need can be listed in .dockerignore, and is not read then"
	}},
	{match: regexp.MustCompile(`error from receiver: (.+: permission denied)`), say: func(_ *job, m []string) (string, string) {
		return "writing the result: " + m[1], "the directory may be another user's, or the result has one that only root could fill; --output type=tar,dest=FILE keeps any"
	}},
	{match: regexp.MustCompile(`unknown scheme git: not found`), say: func(*job, []string) (string, string) {
		return "a git repository is needed, and the engine has no git", "install git where the engine runs, then: linnet engine restart"
	}},
	{match: regexp.MustCompile(`error from sender: (.+)`), say: func(_ *job, m []string) (string, string) {
		return "reading the build context: " + m[1], ""
	}},
	{match: regexp.MustCompile(`docker exporter does not (currently )?support exporting manifest lists`), say: func(*job, []string) (string, string) {
		return "docker's archive format holds one platform and no attestations", "type=oci holds several"
	}},
	{match: regexp.MustCompile(`error reading from server|transport is closing|connection reset by peer|broken pipe|session (healthcheck failed|.* not active)|no active session`), say: func(*job, []string) (string, string) {
		return "the connection to BuildKit was lost", "build again: what was done is cached; linnet engine logs buildkitd says what happened"
	}},
	{match: regexp.MustCompile(`the Dockerfile cannot be empty`), say: func(j *job, _ []string) (string, string) {
		return j.file.Shown + " is empty", "it begins with FROM IMAGE"
	}},
	{match: regexp.MustCompile(`exec format error`), say: always("the image is for another architecture than the engine can run")},
}
