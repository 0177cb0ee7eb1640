package agentserver

import (
	"io"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// mass is how much crosses in one iteration.
const mass = 256 << 20

func BenchmarkInput(b *testing.B) {
	c := newLab(b, nil).client(b)
	b.SetBytes(mass)
	for b.Loop() {
		p := guest.Process{Argv: []string{"/bin/sh", "-c", "exec cat >/dev/null"}, Stdin: io.LimitReader(zeros{}, mass)}
		if err := c.Run(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOutput(b *testing.B) {
	c := newLab(b, nil).client(b)
	b.SetBytes(mass)
	for b.Loop() {
		p := guest.Process{Argv: []string{"head", "-c", "268435456", "/dev/zero"}, Stdout: writer(func(p []byte) (int, error) { return len(p), nil })}
		if err := c.Run(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCommand is the way there and back of a command that does nothing.
func BenchmarkCommand(b *testing.B) {
	c := newLab(b, nil).client(b)
	for b.Loop() {
		if err := c.Run(b.Context(), guest.Process{Argv: []string{"/bin/true"}}); err != nil {
			b.Fatal(err)
		}
	}
}
