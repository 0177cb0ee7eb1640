package streams

import (
	"errors"
	"os"
	"testing"
)

func TestBuffersAreNoTerminal(t *testing.T) {
	s, in, out, errs := Test()
	if s.In != in || s.Out != out || s.Err != errs {
		t.Fatal("the streams are not the buffers")
	}
	if s.InTerminal() || s.OutTerminal() || s.ErrTerminal() || s.Live() || s.Color() || s.UTF8() {
		t.Error("a buffer was taken for a terminal")
	}
	if w := s.Width(); w != DefaultWidth {
		t.Errorf("Width = %d, want %d", w, DefaultWidth)
	}
	if _, err := s.Size(); !errors.Is(err, ErrNoTerminal) {
		t.Errorf("Size: %v, want ErrNoTerminal", err)
	}
	restore, err := s.MakeRaw()
	restore()
	if !errors.Is(err, ErrNoTerminal) || err.Error() != "making standard input raw: not a terminal" {
		t.Errorf("MakeRaw: %v", err)
	}
	if _, open := <-s.Resizes(t.Context()); open {
		t.Error("a size arrived without a terminal")
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &Streams{In: f, Out: f, Err: f}
	if s.InTerminal() || s.OutTerminal() || s.ErrTerminal() || s.Width() != DefaultWidth {
		t.Error("a file was taken for a terminal")
	}
}

func TestClosedDescriptorsDoNotPanic(t *testing.T) {
	var none *os.File
	s := &Streams{In: none, Out: none, Err: none}
	if s.InTerminal() || s.OutTerminal() || s.ErrTerminal() {
		t.Error("no file was taken for a terminal")
	}
}

func TestUTF8FollowsThePrecedenceOfLocales(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{}, false},
		{map[string]string{"LANG": "en_US.UTF-8"}, true},
		{map[string]string{"LANG": "en_US.utf8"}, true},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "C.UTF-8"}, true},
		{map[string]string{"LANG": "C"}, false},
	} {
		s := &Streams{getenv: func(name string) string { return c.env[name] }}
		if got := s.UTF8(); got != c.want {
			t.Errorf("UTF8 with %v = %v", c.env, got)
		}
	}
}
