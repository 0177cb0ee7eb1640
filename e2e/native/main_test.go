//go:build e2e && linux

// Package native_test runs the finished linnet on the real engine, natively on this host.
package native_test

import (
	"os"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/guest/guesttest"
)

func TestMain(m *testing.M) {
	if os.Getenv(envImpostor) != "" {
		impostorMain()
		return
	}
	guesttest.ReplaceMain(func() (guest.Guest, error) { return nativeOf(os.TempDir()), nil })
	os.Exit(lab.Main(m))
}
