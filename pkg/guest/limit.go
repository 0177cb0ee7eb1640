package guest

import (
	"fmt"
	"io"
)

// CaptureMax is how much of what a command writes is kept where linnet itself reads it, in bytes.
const CaptureMax = 8 << 20

// Limit writes to w what a command in a guest writes, as long as it is not more than most bytes: a
// write beyond that is an error. How much a command writes is the guest's to say.
func Limit(w io.Writer, most int64) io.Writer { return &limited{w: w, most: most, left: most} }

type limited struct {
	w          io.Writer
	most, left int64
}

func (l *limited) Write(p []byte) (int, error) {
	if int64(len(p)) > l.left {
		return 0, fmt.Errorf("the guest wrote more than %d bytes, which is the limit here", l.most)
	}
	l.left -= int64(len(p))
	return l.w.Write(p)
}
