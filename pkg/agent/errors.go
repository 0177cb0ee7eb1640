package agent

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// ToStatus makes an error ready to cross the agent's socket with its hint; nil stays nil.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrStopping) {
		return status.Error(codes.Unavailable, ErrStopping.Error())
	}
	text := hint.Format(cutText(err.Error(), textMax), cutText(hint.Of(err), textMax))
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
	text, fix := hint.Cut(s.Message())
	if fix != "" {
		return hint.New(said(text), said(fix))
	}
	return errors.New(said(text))
}
