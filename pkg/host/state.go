package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// StateVersion is the version of what is below Home, as this linnet makes and understands it. It goes up when an older linnet would
// take what is there for something else; a newer linnet takes every older version.
const StateVersion = 1

// Version says which version of linnet's state a home holds: a number, in decimal. A home without the file holds the first.
func (l Layout) Version() string { return filepath.Join(l.Home, "version") }

// CheckVersion fails, with a *hint.Error, when a later linnet has made the home in a way that this one does not know. A home that is
// not there is no error.
func (l Layout) CheckVersion() error {
	version, err := l.stateVersion()
	if err == nil && version > StateVersion {
		return &hint.Error{
			Err: fmt.Errorf("using LINNET_HOME %s: a later linnet made it: its state has version %d, and this linnet knows %d", l.Home, version, StateVersion),
			Fix: "install the later linnet again, or set LINNET_HOME to another directory",
		}
	}
	return err
}

// KeepVersion notes the version of a home whose directories this linnet makes or takes over. Two processes
// that do this at once write the same.
func (l Layout) KeepVersion() error {
	if err := l.CheckVersion(); err != nil {
		return err
	}
	if text, err := ReadOwn(l.Version()); err == nil && string(text) == stateText {
		return nil
	}
	err := WriteFile(l.Version(), []byte(stateText), 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a reset has removed the home meanwhile: what makes it again calls this again
	}
	return err
}

// stateText is what the file says.
var stateText = strconv.Itoa(StateVersion) + "\n"

// stateVersion is the version that the home says.
func (l Layout) stateVersion() (int, error) {
	text, err := ReadOwn(l.Version())
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTDIR): // a home that cannot be read is an error of what needs it
		return 1, nil
	case err != nil:
		return 0, Distrusted("reading "+l.Version(), err, "see what is in it and who made it; then remove it")
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || version < 1 {
		return 0, &hint.Error{Err: fmt.Errorf("reading %s: %.20q is no version of linnet's state", l.Version(), text), Fix: "restore the file, or remove it where no later linnet has been here"}
	}
	return version, nil
}

// Entries are all that linnet keeps directly below Home: everything else there is the user's.
func (l Layout) Entries() []string {
	return append(l.engineEntries(), l.Settings(), l.Version(), l.Images(), l.DockerSocket())
}

// engineEntries are what engines and builds keep, without which the version of the state says nothing.
func (l Layout) engineEntries() []string {
	return []string{l.Engine(), l.LimaHome(), filepath.Dir(l.VM()), l.BuildTokens(), l.Compose()}
}

// ForgetHome removes the version of a home in which no engine keeps anything any more, and the home itself where nothing else is in it.
// What is in the way stays, and is no error.
func ForgetHome(l Layout) {
	for _, kept := range l.engineEntries() {
		if _, err := os.Lstat(kept); !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	_ = os.Remove(l.Version())
	_ = os.Remove(l.Home)
}
