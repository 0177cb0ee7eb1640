package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestOfALargeFileABoundedPartIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("begin"), 0o600); err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int64][2]string{0: {"", ""}, 3: {"beg", "gin"}, 5: {"begin", "begin"}, 100: {"begin", "begin"}} {
		head, err := ReadHead(path, most)
		tail, tailErr := ReadTail(path, most)
		if string(head) != want[0] || string(tail) != want[1] || err != nil || tailErr != nil {
			t.Errorf("%d bytes: %q and %q, %v, %v", most, head, tail, err, tailErr)
		}
	}
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Skip(err)
	}
	if head, err := ReadHead(path, 6); string(head) != "begin\x00" || err != nil {
		t.Errorf("the head of a tebibyte: %q, %v", head, err)
	}
	if tail, err := ReadTail(path, 6); string(tail) != "\x00\x00\x00\x00\x00\x00" || err != nil {
		t.Errorf("the tail of a tebibyte: %q, %v", tail, err)
	}
	if _, err := ReadTail(path+"x", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}
