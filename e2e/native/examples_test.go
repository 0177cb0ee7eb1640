//go:build e2e && linux

package native_test

import (
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/builds"
)

// Every project of examples/build does what it says when its own commands are followed.
func TestExamples(t *testing.T) {
	t.Parallel()
	builds.Examples(t, buildTarget(t))
}
