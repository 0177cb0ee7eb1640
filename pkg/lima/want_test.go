package lima

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What the settings mean on this host: directories where they really are, the image by its key,
// the engine by its digest.
func TestWantResolvesWhatTheHostKnows(t *testing.T) {
	m := newMachine(t)
	dir := filepath.Dir(m.o.Layout.Home)
	m.check(t, os.Mkdir(filepath.Join(dir, "data"), 0o755))
	m.check(t, os.Symlink("data", filepath.Join(dir, "link")))
	m.o.Wanted.Accelerator, m.o.Wanted.Mounts = "tcg", []string{filepath.Join(dir, "link") + ":ro"}
	var told []Mount
	m.o.Engine = func(shares []Mount) ([]byte, error) { told = shares; return []byte("{}"), nil }
	spec, err := m.Machine.Want(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{m.o.Facts.Home, filepath.Join(dir, "data") + ":ro"}; !slices.Equal(spec.Mounts, want) {
		t.Errorf("mounts %q, not %q", spec.Mounts, want)
	}
	if len(told) != 2 || told[0].String() != spec.Mounts[0] || told[1].String() != spec.Mounts[1] {
		t.Errorf("the engine is told of %v", told)
	}
	if spec.Image != "one" || spec.Engine == "" || spec.Type != "qemu" || spec.Accelerator != "tcg" {
		t.Errorf("it is %+v", spec.Shape)
	}
	if got := ParseMount(spec.Mounts[1]); got != (Mount{Path: filepath.Join(dir, "data"), ReadOnly: true}) {
		t.Errorf("read back it is %+v", got)
	}
}

func TestWantSaysWhatIsWrong(t *testing.T) {
	m := newMachine(t)
	file := filepath.Join(filepath.Dir(m.o.Layout.Home), "file")
	m.check(t, os.WriteFile(file, nil, 0o644))
	engine := errors.New("no engine")
	for _, c := range []struct {
		name string
		set  func(*Options)
		want string
	}{
		{"a directory that is not there", func(o *Options) { o.Wanted.Mounts = []string{"/nosuch"} }, "sharing /nosuch: no such file or directory; make the directory, or take it out of vm.mounts"},
		{"a file", func(o *Options) { o.Wanted.Mounts = []string{file} }, "sharing " + file + ": it is not a directory; name its directory in vm.mounts instead"},
		{"no home", func(o *Options) { o.Facts.Home = "" }, "finding the home directory: HOME is not set; set HOME"},
		{"an engine's failure", func(o *Options) { o.Engine = func([]Mount) ([]byte, error) { return nil, engine } }, "no engine"},
	} {
		o := m.o
		o.Wanted.Accelerator = "tcg"
		c.set(&o)
		if _, err := New(o).Want(t.Context()); told(err) != c.want {
			t.Errorf("%s: %s", c.name, told(err))
		}
	}
}

func TestAnImageThatIsNotWholeIsTold(t *testing.T) {
	m := newMachine(t)
	dir := m.o.Layout.Image(amd64)
	for _, want := range []string{"kernel", "kernel.packed"} {
		m.check(t, os.WriteFile(filepath.Join(dir, want), nil, 0o644))
		if image, err := ReadImage(dir); err != nil || image.Packed != filepath.Join(dir, want) || image.Kernel != filepath.Join(dir, "kernel") {
			t.Errorf("with %s: %+v (%v)", want, image, err)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func() error
		want  string
	}{
		{"another architecture", func() error {
			return os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(`{"key": "one", "arch": "aarch64"}`), 0o644)
		}, "the image in " + dir + " is for aarch64, and this host is x86_64; set vm.image to one for this host"},
		{"no kernel", func() error { return os.Remove(filepath.Join(dir, "kernel")) }, "reading the image: a part of " + dir + " is missing; install linnet's image again (`make image` in its sources)"},
		{"no key", func() error { return os.WriteFile(filepath.Join(dir, "manifest.json"), []byte("{}"), 0o644) }, "reading the image: " + dir + "/manifest.json: it has no key; install linnet's image again (`make image` in its sources)"},
		{"none", func() error { return os.RemoveAll(dir) }, "there is no image to make a virtual machine from: " + dir + "; install linnet's image (`make image` in its sources), or set LINNET_LIBEXEC to the directory of its components"},
	} {
		m.check(t, c.spoil())
		if got, _ := m.noImage(t.Context()); got == nil || told(got) != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAProgramThatLimaRunsAndIsNotThereIsTold(t *testing.T) {
	m := newMachine(t)
	m.o.Environ = []string{"PATH=" + m.fake.Programs()}
	m.check(t, os.Remove(filepath.Join(m.fake.Programs(), "qemu-system-x86_64")))
	m.check(t, os.Remove(filepath.Join(m.fake.Programs(), "qemu-img")))
	want := "a virtual machine needs what this host does not have: qemu-system-x86_64, qemu-img; install qemu-system-x86, qemu-utils (as Debian calls them), or put them into PATH"
	if got := m.lacks(); got == nil || told(got) != want {
		t.Errorf("it is told: %v", got)
	}
}
