// Package native_test runs the finished linnet on the real engine, natively on this host.
package native_test

import (
	"os"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
