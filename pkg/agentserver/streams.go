package agentserver

import (
	"io"
	"sync"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// output is where a command writes to. It sends to the client, and HTTP/2 makes it wait for
// a client that does not read.
type output struct {
	command *command
	wrap    func([]byte) *agentpb.RunReply
	once    sync.Once
	left    chan struct{}
}

func newOutput(c *command, wrap func([]byte) *agentpb.RunReply) *output {
	return &output{command: c, wrap: wrap, left: make(chan struct{})}
}

// Left is closed when no process in the guest reads any more.
func (o *output) Left() <-chan struct{} { return o.left }

func (o *output) leave() { o.once.Do(func() { close(o.left) }) }

func (o *output) Write(p []byte) (int, error) {
	select {
	case <-o.left:
		return 0, syscall.EPIPE
	default:
	}
	if err := o.command.send(o.wrap(p)); err != nil {
		return 0, syscall.EPIPE // the client is gone, and the command about to be ended
	}
	return len(p), nil
}

// inputWindow is how much input of a command the agent holds at most.
const inputWindow = 1 << 20

// inbox is a command's standard input: what the client was granted to send, and sent.
type inbox struct {
	grant func(n int64)

	mu      sync.Mutex
	changed sync.Cond
	chunks  [][]byte
	granted int64 // bytes that may still come
	freed   int64 // bytes that were taken and not granted again
	ended   bool  // nothing comes any more
}

func newInbox(grant func(n int64)) *inbox {
	b := &inbox{grant: grant}
	b.changed.L = &b.mu
	return b
}

// open grants the whole window.
func (b *inbox) open() {
	b.mu.Lock()
	b.granted = inputWindow
	b.mu.Unlock()
	b.grant(inputWindow)
}

// put takes what came; nothing at all is the end. It reports whether that much was granted.
func (b *inbox) put(p []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.granted -= int64(len(p)); b.granted < 0 {
		return false
	}
	if len(p) > 0 {
		b.chunks = append(b.chunks, p)
	} else {
		b.ended = true
	}
	b.changed.Signal()
	return true
}

// close ends the wait for more.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended, b.chunks = true, nil
	b.changed.Signal()
}

// next waits for the next piece; nil is the end.
func (b *inbox) next() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.chunks) == 0 && !b.ended {
		b.changed.Wait()
	}
	if len(b.chunks) == 0 {
		return nil
	}
	p := b.chunks[0]
	b.chunks = b.chunks[1:]
	return p
}

// free notes that room was made for n bytes, and grants more when that is worth a message.
func (b *inbox) free(n int) {
	b.mu.Lock()
	b.freed += int64(n)
	more := b.freed
	if more < inputWindow/4 {
		b.mu.Unlock()
		return
	}
	b.granted, b.freed = b.granted+more, 0
	b.mu.Unlock()
	b.grant(more)
}

// WriteTo writes all of the input.
func (b *inbox) WriteTo(w io.Writer) (total int64, err error) {
	for p := b.next(); p != nil; p = b.next() {
		n, err := w.Write(p)
		total += int64(n)
		if err != nil {
			return total, err
		}
		b.free(n)
	}
	return total, nil
}

// Read makes it a Reader. io.Copy uses WriteTo.
func (b *inbox) Read(p []byte) (int, error) {
	chunk := b.next()
	if chunk == nil {
		return 0, io.EOF
	}
	n := copy(p, chunk)
	if n < len(chunk) {
		b.mu.Lock()
		b.chunks = append([][]byte{chunk[n:]}, b.chunks...)
		b.mu.Unlock()
	}
	b.free(n)
	return n, nil
}
