package guesttest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

var streamCases = []testCase{
	{"StreamsApart", streamsApart},
	{"StreamsAreNoTerminal", streamsAreNoTerminal},
	{"EightBitClean", eightBitClean},
	{"Dialogue", dialogue},
	{"InputEnds", inputEnds},
	{"InputNotRead", inputNotRead},
	{"Together", together},
}

func streamsApart(t *testing.T, s *suite) {
	p := s.sh(`i=0; while [ $i -lt 500 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done; head -c 10; printf end >&2`)
	p.Stdin = unended(t, "from stdin")
	var out, stderr strings.Builder
	for i := range 500 {
		fmt.Fprintf(&out, "out %d\n", i)
		fmt.Fprintf(&stderr, "err %d\n", i)
	}
	code, gotOut, gotErr := s.run(t, p)
	if code != 0 || gotOut != out.String()+"from stdin" {
		t.Errorf("exit code %d, stdout %.300q", code, gotOut)
	}
	if gotErr != stderr.String()+"end" {
		t.Errorf("stderr %.300q", gotErr)
	}
}

func streamsAreNoTerminal(t *testing.T, s *suite) {
	if out := s.output(t, "for fd in 0 1 2; do test -t $fd && echo $fd; done; true"); out != "" {
		t.Errorf("without a TTY, these are terminals: %q", out)
	}
}

// noise is 4 MiB that begin with every byte value, the same in every run.
func noise() []byte {
	b := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	for i := range 256 {
		b[i] = byte(i)
	}
	return b
}

// unended is an input that has this text and then neither more nor an end.
func unended(t *testing.T, text string) io.Reader {
	t.Helper()
	idle, _ := typist(t)
	return io.MultiReader(strings.NewReader(text), idle)
}

func eightBitClean(t *testing.T, s *suite) {
	data := string(noise())
	p := s.sh("cat")
	p.Stdin = strings.NewReader(data)
	if code, out, _ := s.run(t, p); code != 0 || out != data {
		t.Errorf("there and back: exit code %d, %d of %d bytes, different at %d", code, len(out), len(data), diff(out, data))
	}
	p = s.sh("cat >&2")
	p.Stdin = strings.NewReader(data)
	if code, _, out := s.run(t, p); code != 0 || out != data {
		t.Errorf("back on stderr: exit code %d, %d of %d bytes, different at %d", code, len(out), len(data), diff(out, data))
	}
	p = s.sh("sha256sum")
	p.Stdin = strings.NewReader(data)
	if _, out, _ := s.run(t, p); !strings.HasPrefix(out, fmt.Sprintf("%x", sha256.Sum256([]byte(data)))) {
		t.Errorf("over there, the checksum is %q", out)
	}
}

// diff returns where a and b part.
func diff(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func dialogue(t *testing.T, s *suite) {
	p := s.sh(`while read -r l; do echo "got $l"; [ "$l" = bye ] && exit 7; done`)
	in, say := typist(t)
	p.Stdin = in
	x := s.start(t, p)
	for _, line := range []string{"one", "two", "bye"} {
		say(line + "\n")
		x.expect("got " + line + "\n")
	}
	if code := x.code(); code != 7 {
		t.Errorf("exit code %d", code)
	}
}

func inputEnds(t *testing.T, s *suite) {
	for _, in := range []string{"", "no newline", "lines\n\n"} {
		p := s.sh("cat; echo .")
		p.Stdin = strings.NewReader(in)
		if code, out, _ := s.run(t, p); code != 0 || out != in+".\n" {
			t.Errorf("input %q: exit code %d, output %q", in, code, out)
		}
	}
	if out := s.output(t, "cat; echo ."); out != ".\n" {
		t.Errorf("no input came as %q", out)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func inputNotRead(t *testing.T, s *suite) {
	idle, _ := typist(t)
	for name, in := range map[string]io.Reader{"endless": zeros{}, "idle": idle} {
		p := s.sh("exec <&-; echo closed; exit 3")
		p.Stdin = in
		if code, out, _ := s.run(t, p); code != 3 || out != "closed\n" {
			t.Errorf("closed under %s input: exit code %d, output %q", name, code, out)
		}
	}
	p := s.sh("head -c 5 | wc -c")
	p.Stdin = zeros{}
	if code, out, _ := s.run(t, p); code != 0 || strings.TrimSpace(out) != "5" {
		t.Errorf("read in part: exit code %d, output %q", code, out)
	}
}

func together(t *testing.T, s *suite) {
	var all sync.WaitGroup
	for i := range 16 {
		p := s.sh(`i=0; while [ $i -lt 100 ]; do echo "$1 $i"; i=$((i+1)); done; cat; echo "$1 err" >&2; exit $1`, fmt.Sprint(i))
		text := strings.Repeat(fmt.Sprintf("text of %d\n", i), 1000)
		p.Stdin = strings.NewReader(text)
		var want strings.Builder
		for n := range 100 {
			fmt.Fprintf(&want, "%d %d\n", i, n)
		}
		x := s.start(t, p)
		all.Go(func() {
			<-x.done
			if code := exitCode(x.result); code != i {
				t.Errorf("%d: ended with %v", i, x.result)
			}
			if x.out.String() != want.String()+text || x.err.String() != fmt.Sprintf("%d err\n", i) {
				t.Errorf("%d: stdout %.300q, stderr %.300q", i, x.out, x.err)
			}
		})
	}
	all.Wait()
}
