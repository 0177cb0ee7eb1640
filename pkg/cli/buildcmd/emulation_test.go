package buildcmd

import (
	"errors"
	"testing"

	"github.com/linnet-dev/linnet/pkg/hint"
)

func TestAStepThatCannotRunSaysWhy(t *testing.T) {
	foreign := &hint.Error{Err: errors.New("emulating linux/arm64: emulation is disabled"), Fix: "linnet emulation enable"}
	failed := errors.New("building: Dockerfile:3: process \"/p\" did not complete successfully: exit code: 255")
	e := Emulation{missing: foreign}
	err := e.Explain(failed)
	var hinted *hint.Error
	want := failed.Error() + " (emulating linux/arm64: emulation is disabled)"
	if err.Error() != want || !errors.As(err, &hinted) || hinted.Fix != "linnet emulation enable" || !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	other := errors.New("building: Dockerfile:3: process \"/p\" did not complete successfully: exit code: 1")
	if got := e.Explain(other); !errors.Is(got, other) || got.Error() != other.Error() {
		t.Errorf("got %v", got)
	}
	if got := (&Emulation{}).Explain(failed); got.Error() != failed.Error() {
		t.Errorf("got %v", got)
	}
}
