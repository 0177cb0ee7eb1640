package relay

import (
	"bytes"
	"os"
	"sync"

	"github.com/linnet-dev/linnet/pkg/host"
)

// consoleMost is how much of a console is read, in bytes, from its beginning: how long it is, is the
// guest's to say.
const consoleMost = 256 << 10

// ConsoleSays returns a function for Options.Up: whether a word stands in one of the files
// that a machine's consoles are written to. A machine that starts again begins them anew.
func ConsoleSays(word string, files ...string) func() bool {
	c := &consoles{word: []byte(word), files: files, sizes: make([]int64, len(files)), said: make([]bool, len(files))}
	return c.say
}

type consoles struct {
	word  []byte
	files []string

	mu    sync.Mutex
	sizes []int64
	said  []bool
}

func (c *consoles) say() (any bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, file := range c.files {
		info, err := os.Stat(file)
		if err != nil {
			c.sizes[i], c.said[i] = 0, false
			continue
		}
		// What is read does not change once there is more than that.
		if size := min(info.Size(), consoleMost); size != c.sizes[i] {
			text, _ := host.ReadHead(file, consoleMost) // gone again: then it says nothing
			c.sizes[i] = int64(len(text))
			c.said[i] = bytes.Contains(text, c.word)
		}
		any = any || c.said[i]
	}
	return any
}
