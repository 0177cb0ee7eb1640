package lima

import (
	"sync"
	"time"

	"github.com/linnet-dev/linnet/pkg/report"
)

// silence is how long a command waits without a word.
const silence = time.Second

// tellWaiting shows a step when what follows takes longer than silence.
func tellWaiting(r *report.Reporter, name string) (done func()) {
	var mu sync.Mutex
	var step *report.Step
	over := false
	timer := time.AfterFunc(silence, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			step = r.Step(name)
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		over = true
		if step != nil {
			step.Done()
		}
	}
}
