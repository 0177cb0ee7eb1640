package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

// viewOf tells this very test, started once more, that it is the process apart, and of which directory.
const viewOf = "TEST_VIEW_OF"

// A process with a view sees all of a directory but what is hidden, and can change nothing about that; others
// see everything.
func TestAViewHidesADirectory(t *testing.T) {
	if dir := os.Getenv(viewOf); dir != "" {
		home := filepath.Join(dir, "home")
		v := host.View{Dir: home, At: filepath.Join(home, ".l/at"), Hidden: filepath.Join(home, ".l"), Empty: filepath.Join(home, ".l/empty")}
		err := host.Enter([]host.View{v})
		if err == nil {
			err = host.Become("/bin/sh", []string{"sh", filepath.Join(dir, "script"), v.At}, []string{"PATH=/usr/bin:/bin"}, nil)
		}
		fmt.Println(err)
		return
	}
	const script = `cd "$1" || exit
echo sees: $(ls -A); echo hidden: $(ls -A .l)
touch .l/made 2>/dev/null && echo wrote what is hidden
touch made || echo wrote nothing
if [ $(id -u) != 0 ]; then # root has every right in its namespace, and runs no virtual machine
	umount .l 2>/dev/null && echo uncovered
	mount -t tmpfs x .l 2>/dev/null && echo covered
fi
mv .l other 2>/dev/null && echo moved
cat ../secret
`
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "home/.l/empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{"home/file": "", "home/.l/secret": "it is where it was\n", "home/.l/at/in-the-place-of-the-view": "", "script": script} {
		err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(dir, "log")
	started, err := host.Daemon{
		Argv: []string{os.Args[0], "-test.run=^TestAViewHidesADirectory$"}, Env: []string{viewOf + "=" + dir, "GORACE=atexit_sleep_ms=0"}, Dir: "/", Log: log, Apart: true,
	}.Start()
	if err != nil {
		t.Skipf("this kernel lets this user have no mount namespace: %v", err)
	}
	err = started.Wait()
	text, _ := os.ReadFile(log)
	if want := "sees: .l file\nhidden:\nit is where it was\n"; err != nil || string(text) != want {
		t.Errorf("%v: it says\n%s\nand not\n%s", err, text, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "home/.l/at/in-the-place-of-the-view")); err != nil {
		t.Errorf("others see the view, too: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "home/made")); err != nil {
		t.Errorf("what was written beside what is hidden: %v", err)
	}
}
