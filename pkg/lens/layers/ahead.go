package layers

import "io"

// ahead reads in a goroutine of its own what its reader will want next.
type ahead struct {
	full, free chan []byte
	done       chan struct{}
	ended      chan struct{}
	err        error // valid once full is closed
	now, whole []byte
}

// chunk and chunks are how much is read ahead, in bytes and in number.
const (
	chunk  = 256 << 10
	chunks = 4
)

func readAhead(from io.Reader) *ahead {
	a := &ahead{full: make(chan []byte, chunks), free: make(chan []byte, chunks), done: make(chan struct{}), ended: make(chan struct{})}
	for range chunks {
		a.free <- make([]byte, chunk)
	}
	go a.run(from)
	return a
}

func (a *ahead) run(from io.Reader) {
	defer close(a.ended)
	defer close(a.full)
	for {
		var b []byte
		select {
		case b = <-a.free:
		case <-a.done:
			return
		}
		n := 0
		for n < len(b) && a.err == nil {
			var m int
			m, a.err = from.Read(b[n:])
			n += m
		}
		if n > 0 {
			a.full <- b[:n] // there is room for all
		}
		if a.err != nil {
			return
		}
	}
}

func (a *ahead) Read(p []byte) (int, error) {
	if len(a.now) == 0 {
		if a.whole != nil {
			a.free <- a.whole[:cap(a.whole)]
			a.whole = nil
		}
		b, ok := <-a.full
		if !ok {
			return 0, a.err
		}
		a.now, a.whole = b, b
	}
	n := copy(p, a.now)
	a.now = a.now[n:]
	return n, nil
}

// stop ends the goroutine, and returns when it reads no more.
func (a *ahead) stop() {
	close(a.done)
	<-a.ended
}
