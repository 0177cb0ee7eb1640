package report

import (
	"fmt"
	"strings"
	"sync"
)

// Dropped collects what files that came out of an image or a container have lost on their way to this
// host: what would have given rights on it to whoever made them. It may be used by several at once.
type Dropped struct {
	mu   sync.Mutex
	kind [3][]string
	seen map[string]bool
}

// The kinds, in the order in which they are told.
const (
	setuid = iota
	capability
	device
)

var droppedText = [3]string{"dropped the setuid and setgid bits of %s", "dropped the capabilities of %s", "left out %s that are devices"}

// Setuid notes a file that has lost its setuid or setgid bit.
func (d *Dropped) Setuid(path string) { d.add(setuid, path) }

// Capabilities notes a program that has lost the capabilities of its file.
func (d *Dropped) Capabilities(path string) { d.add(capability, path) }

// Device notes a device that was not made.
func (d *Dropped) Device(path string) { d.add(device, path) }

func (d *Dropped) add(kind int, path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := string(rune('0'+kind)) + path
	if d.seen == nil {
		d.seen = map[string]bool{}
	}
	if !d.seen[key] {
		d.seen[key], d.kind[kind] = true, append(d.kind[kind], path)
	}
}

// namedPaths is how many paths are named.
const namedPaths = 3

// Lines say what was dropped, a line for each kind that there is.
func (d *Dropped) Lines() (lines []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for kind, paths := range d.kind {
		if len(paths) == 0 {
			continue
		}
		files := fmt.Sprintf("%d files", len(paths))
		if len(paths) == 1 {
			files = "1 file"
		}
		var names []string
		for _, path := range paths[:min(len(paths), namedPaths)] {
			names = append(names, CleanLine(path))
		}
		if len(paths) > namedPaths {
			names = append(names, "...")
		}
		lines = append(lines, fmt.Sprintf(droppedText[kind], files)+": "+strings.Join(names, ", "))
	}
	return lines
}
