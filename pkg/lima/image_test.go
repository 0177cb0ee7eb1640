package lima

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/vm"
	"github.com/linnet-dev/linnet/pkg/vm/vmtest"
)

// from gives a machine an image that is elsewhere until it was fetched.
func (m machine) from(place string) (dir string) {
	dir = filepath.Join(m.o.Layout.Home, "elsewhere")
	m.o.Image = func(context.Context, string, string) (Source, error) {
		return Source{Dir: dir, Digest: "sha256:1", From: place}, nil
	}
	return dir
}

// What is wanted names the image by its digest and its place before it is there; nothing is booted to try it.
func TestAnImageThatIsNotThereYetIsWanted(t *testing.T) {
	m := newMachine(t)
	dir := m.from("https://example.com/image")
	m.o.Wanted.Accelerator = auto
	want, err := m.Machine.Want(t.Context())
	if err != nil || want.Image != "sha256:1" || want.Accelerator != "kvm" || !strings.Contains(want.Config, dir+"/disk.raw") {
		t.Errorf("%v: %+v", err, want)
	}
	m.put(t, vmtest.Case{Have: vm.State{Status: vm.Halted, Disk: vm.NoDisk, Config: vmtest.Config(vm.Shape{Image: "zero", Accelerator: "tcg"}, "")}})
	if want, err := m.Machine.Want(t.Context()); err != nil || want.Accelerator != "tcg" {
		t.Errorf("%v: the accelerator is %s, and the machine has tcg", err, want.Accelerator)
	}
	if refused, from := m.noImage(t.Context()); refused != nil || from != "https://example.com/image" {
		t.Errorf("%v, from %q", refused, from)
	}
}

func TestWhyThereIsNoImageIsTold(t *testing.T) {
	m := newMachine(t)
	m.o.Image = func(context.Context, string, string) (Source, error) {
		return Source{}, hint.New("none is known", "set one")
	}
	refused, _ := m.noImage(t.Context())
	if got, want := told(refused), "there is no image to make a virtual machine from: none is known; set one"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	m.o.Facts.Arch = "riscv64"
	refused, _ = m.noImage(t.Context())
	if got, want := told(refused), "there is no image to make a virtual machine from: choosing an image: there is none for riscv64; set backend: native"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Each whole machine of a home counts, whatever the home is called.
func TestImagesInUseAreThoseOfEveryMachine(t *testing.T) {
	l := host.Layout{Home: filepath.Join(t.TempDir(), "a[b*")}
	for path, image := range map[string]string{
		"lima/default/lima.yaml": "one", "vm/default/lima.yaml": "two", "lima/other/lima.yaml": "one", "lima/torn/lima.yaml": "",
	} {
		text := "vmType: qemu\n"
		if image != "" {
			text = vm.Shape{Image: image}.Header() + text
		}
		path = filepath.Join(l.Home, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string][]string{"one": {"default", "other"}}
	if got := ImagesInUse(l); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
