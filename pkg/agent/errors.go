package agent

import (
	"errors"

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
	text := err.Error()
	var hint *host.HintError
	if errors.As(err, &hint) {
		text += hintMark + hint.Fix
	}
	return status.Error(codes.Internal, text)
}

// FromStatus is its reverse, on the client's side.
func FromStatus(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	text, hint, _ := cutLast(s.Message(), hintMark)
	if hint != "" {
		return &host.HintError{Err: errors.New(text), Fix: hint}
	}
	return errors.New(text)
}
