//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// modules loads kernel modules without a process for each: the list of what depends on what is read once.
type modules struct {
	dir  string
	deps map[string][]string // name: files, the module itself first

	mu     sync.Mutex
	loaded map[string]*sync.Once
}

// readModules reads depmod's list for the running kernel.
func readModules(root string) (*modules, error) {
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		return nil, fmt.Errorf("asking for the kernel's version: %w", err)
	}
	m := &modules{dir: filepath.Join(root, unix.ByteSliceToString(kernel.Release[:])), deps: map[string][]string{}, loaded: map[string]*sync.Once{}}
	text, err := os.ReadFile(filepath.Join(m.dir, "modules.dep"))
	if err != nil {
		return nil, fmt.Errorf("reading the modules' list: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		file, deps, _ := strings.Cut(line, ":")
		m.deps[moduleName(file)] = append([]string{file}, strings.Fields(deps)...)
	}
	return m, nil
}

// moduleName is a module's name as the kernel says it.
func moduleName(file string) string {
	name := strings.TrimSuffix(filepath.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// load loads modules and what they depend on. One that is not in the image is built into
// the kernel, or for another kind of machine.
func (m *modules) load(names ...string) error {
	var errs []error
	for _, name := range names {
		files := m.deps[name]
		for i := len(files) - 1; i >= 0; i-- {
			errs = append(errs, m.insert(files[i]))
		}
	}
	return errors.Join(errs...)
}

// insert loads one file, once; a goroutine that needs it meanwhile waits.
func (m *modules) insert(file string) (err error) {
	m.mu.Lock()
	once := m.loaded[file]
	if once == nil {
		once = new(sync.Once)
		m.loaded[file] = once
	}
	m.mu.Unlock()
	once.Do(func() {
		var f *os.File
		if f, err = os.Open(filepath.Join(m.dir, file)); err != nil {
			return
		}
		defer f.Close()
		if e := unix.FinitModule(int(f.Fd()), "", 0); e != nil && !errors.Is(e, unix.EEXIST) && !errors.Is(e, unix.ENODEV) {
			err = fmt.Errorf("loading %s: %w", file, e)
		}
	})
	return err
}
