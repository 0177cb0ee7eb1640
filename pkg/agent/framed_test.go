package agent

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// sent collects what is written.
type sent struct {
	bytes.Buffer
	ended  bool
	pieces int
}

func (s *sent) Write(p []byte) (int, error) { s.pieces++; return s.Buffer.Write(p) }
func (s *sent) CloseWrite() error           { s.ended = true; return nil }

func TestAFramedStreamTellsAnEndFromACut(t *testing.T) {
	text := strings.Repeat("0123456789", 10_000)
	for _, reader := range []func(io.Reader) io.Reader{
		func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader,
	} {
		var way sent
		out := NewFramed(strings.NewReader(""), &way)
		if n, err := io.WriteString(out, text); n != len(text) || err != nil {
			t.Fatalf("%d bytes written, %v", n, err)
		}
		if most := len(text)/FrameSize + 1; way.pieces > most {
			t.Errorf("%d pieces, and %d do", way.pieces, most)
		}
		cut := bytes.Clone(way.Bytes())
		if err := out.CloseWrite(); err != nil || !way.ended {
			t.Fatalf("ended: %v, %v", way.ended, err)
		}
		got, err := io.ReadAll(NewFramed(reader(&way), nil))
		if err != nil || string(got) != text {
			t.Errorf("%d bytes came of %d, %v", len(got), len(text), err)
		}
		for _, missing := range []int{0, 1, 5, len(cut) - 1, len(cut)} {
			got, err := io.ReadAll(NewFramed(reader(bytes.NewReader(cut[:len(cut)-missing])), nil))
			if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(text, string(got)) {
				t.Errorf("without the last %d: %d bytes came, %v", missing, len(got), err)
			}
		}
	}
}
