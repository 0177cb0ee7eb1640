package relay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// logSize is where a log file becomes the old one. There are two at most.
const logSize = 1 << 20

// Log is a log file of bounded size, with its predecessor under the same name and ".1".
type Log struct {
	path string
	mu   sync.Mutex
	f    *os.File
	size int64
}

// OpenLog opens a log to append to; it is made, with its directory, if need be.
func OpenLog(path string) (*Log, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("opening the relay's log: %w", err)
	}
	l := &Log{path: path}
	return l, l.open()
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the relay's log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("opening the relay's log: %w", err)
	}
	l.f, l.size = f, info.Size()
	return nil
}

// Write appends one entry.
func (l *Log) Write(entry []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > 0 && l.size+int64(len(entry)) > logSize {
		if err := os.Rename(l.path, l.path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		old := l.f
		if err := l.open(); err != nil {
			return 0, err
		}
		old.Close()
	}
	n, err := l.f.Write(entry)
	l.size += int64(n)
	return n, err
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}
