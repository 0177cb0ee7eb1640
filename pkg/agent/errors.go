package agent

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/host"
)

// hintMark stands between an error and its hint in a status message.
const hintMark = "\nhint: "

// ToStatus makes an error ready to cross the agent's socket with its hint; nil stays nil.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrStopping) {
		return status.Error(codes.Unavailable, ErrStopping.Error())
	}
	text := cutText(err.Error(), textMax)
	var hint *host.HintError
	if errors.As(err, &hint) {
		text += hintMark + cutText(hint.Fix, textMax)
	}
	text = strings.ToValidUTF8(text, "\ufffd") // which a message has to be
	return status.Error(codes.Internal, text)
}

// FromStatus is its reverse, on the client's side.
func FromStatus(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	// An agent that ends while it is asked ends the connection, with the same code.
	if s.Code() == codes.Unavailable {
		return ErrStopping
	}
	if s.Code() == codes.ResourceExhausted && strings.HasPrefix(s.Message(), tooLarge) {
		most := ReplyMax
		if strings.HasSuffix(s.Message(), fmt.Sprintf(" %d)", infoMax)) {
			most = infoMax
		}
		return breach("sends a message of more than %d KiB", most>>10)
	}
	text, hint, _ := cutLast(s.Message(), hintMark)
	if hint != "" {
		return &host.HintError{Err: errors.New(said(text)), Fix: said(hint)}
	}
	return errors.New(said(text))
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
