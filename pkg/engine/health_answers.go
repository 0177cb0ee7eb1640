//go:build linux

package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/linnet-dev/linnet/pkg/host"
)

// nerdctl appends the answer of every check to this file of a container's directory, shows the
// last five, and never shortens it. An answer may have a mebibyte.
const (
	answersFile = "health.json"
	answersSize = 256 << 10
	answersKept = 5
)

// trimAnswers shortens the file in a container's directory to the answers that are shown, once it is large.
// No check of the container may run.
func trimAnswers(dir string) error {
	if dir == "" {
		return nil
	}
	path := filepath.Join(dir, answersFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("trimming %s: %w", path, err)
	}
	if info.Size() <= answersSize {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("trimming %s: %w", path, err)
	}
	kept := lastLines(text, answersKept)
	if len(kept) == len(text) {
		return nil
	}
	if err := host.WriteFile(path, kept, 0o600); err != nil {
		return fmt.Errorf("trimming %s: %w", path, err)
	}
	return nil
}

// lastLines are the last n lines of a text that ends with one.
func lastLines(text []byte, n int) []byte {
	at := len(text)
	for range n + 1 {
		if at = bytes.LastIndexByte(text[:at], '\n'); at < 0 {
			return text
		}
	}
	return text[at+1:]
}
