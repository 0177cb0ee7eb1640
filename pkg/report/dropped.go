package report

import (
	"fmt"
	"strings"
	"sync"
)

// Dropped collects what files that came out of an image or a container have lost on their way to this
// host: what would have given rights on it to their author. It may be used by several at once.
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

var droppedText = [3]struct{ one, several string }{
	{"dropped the setuid and setgid bits of 1 file", "dropped the setuid and setgid bits of %d files"},
	{"dropped the capabilities of 1 file", "dropped the capabilities of %d files"},
	{"left out 1 file that is a device or pipe", "left out %d files that are devices or pipes"},
}

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
		text := droppedText[kind].one
		if len(paths) > 1 {
			text = fmt.Sprintf(droppedText[kind].several, len(paths))
		}
		var names []string
		for _, path := range paths[:min(len(paths), namedPaths)] {
			names = append(names, CleanLine(path))
		}
		if len(paths) > namedPaths {
			names = append(names, "...")
		}
		lines = append(lines, text+": "+strings.Join(names, ", "))
	}
	return lines
}
