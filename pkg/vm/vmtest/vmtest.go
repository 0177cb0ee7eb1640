// Package vmtest reads the pairs of wanted and observed with their plans, from pkg/vm's golden
// files, so that every package that takes part in them is held to the same ones.
package vmtest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/vm"
)

// mark stands before the plan in a file.
const mark = "-- plan --\n"

// Case is one pair of wanted and observed.
type Case struct {
	// Name is the file's without .txt.
	Name string
	Goal vm.Goal
	Want vm.Spec
	Have vm.State
	// Plan is what the file says of it.
	Plan string

	path, head string
}

// Base is what is wanted where a file says nothing else.
func Base() vm.Spec {
	return vm.Spec{
		Shape: vm.Shape{
			Image: "one", Arch: "x86_64", Type: "qemu", CPUs: 2, Memory: 4 << 30,
			Mounts: []string{"/home/ada"}, MountType: "9p", Accelerator: "kvm", Engine: "e1",
		},
		DataDisk: 100 << 30,
	}
}

// Config is a configuration of that shape; text makes one that differs in nothing else.
func Config(s vm.Shape, text string) string {
	return s.Header() + "vmType: " + s.Type + "\n" + text
}

// Load reads every case in a directory.
func Load(t *testing.T, dir string) []Case {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases in %s (%v)", dir, err)
	}
	cases := make([]Case, len(paths))
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		head, plan, _ := strings.Cut(string(text), mark)
		c := Case{Name: strings.TrimSuffix(filepath.Base(path), ".txt"), Plan: plan, path: path, head: head}
		if err := c.parse(); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		cases[i] = c
	}
	return cases
}

// Golden holds a plan to the file's, or rewrites the file when UPDATE is set.
func (c Case) Golden(t *testing.T, plan vm.Plan) {
	t.Helper()
	got := plan.String()
	if got == c.Plan {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Errorf("the plan is\n%s\nand was\n%s", got, c.Plan)
		return
	}
	if err := os.WriteFile(c.path, []byte(c.head+mark+got), 0o644); err != nil {
		t.Error(err)
	}
}

// parse reads lines of "goal: started", "wanted.cpus: 4", "observed.status: stopped" and
// "observed.made.cpus: 2", which is what the machine was made with.
func (c *Case) parse() error {
	c.Want = Base()
	c.Have = vm.State{Status: vm.Absent, Disk: vm.NoDisk}
	wanted, made := map[string]string{}, map[string]string{}
	text, wantedText := "", ""
	for line := range strings.Lines(c.head) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			return fmt.Errorf("%q is not a key and a value", line)
		}
		var err error
		switch {
		case key == "goal":
			c.Goal = vm.Goal(value)
		case key == "wanted.text":
			wantedText = value
		case key == "wanted.disk":
			c.Want.DataDisk, err = bytes(value)
		case strings.HasPrefix(key, "wanted."):
			wanted[key[len("wanted."):]] = value
		case strings.HasPrefix(key, "observed.made."):
			made[key[len("observed.made."):]] = value
		default:
			err = c.observed(strings.TrimPrefix(key, "observed."), value)
		}
		if err != nil {
			return err
		}
	}
	if err := shape(&c.Want.Shape, wanted); err != nil {
		return err
	}
	c.Want.Config = Config(c.Want.Shape, wantedText)
	c.Have.Files = c.Have.Files || c.Have.Status != vm.Absent || c.Have.Disk != vm.NoDisk || len(c.Have.Leftovers) > 0
	switch c.Have.Status {
	case vm.Absent, vm.Incomplete:
		return nil
	}
	c.Have.Shape = c.Want.Shape
	if err := shape(&c.Have.Shape, made); err != nil {
		return err
	}
	c.Have.Config = Config(c.Have.Shape, text)
	return nil
}

func (c *Case) observed(key, value string) (err error) {
	h := &c.Have
	switch key {
	case "status":
		h.Status = vm.Status(value)
	case "live":
		h.Live = true
	case "answers":
		h.Answers = true
	case "disk":
		h.Disk = vm.DiskStatus(value)
		if value != string(vm.NoDisk) && value != string(vm.TornDisk) {
			h.Disk = vm.Disk
			h.DiskSize, err = bytes(value)
		}
	case "locked":
		h.DiskUser = value
	case "unreadable":
		h.Disk, h.DiskError = vm.BrokenDisk, value
	case "leftover":
		h.Leftovers = append(h.Leftovers, value)
	case "files":
		h.Files = true
	case "tool":
		h.Tool = &vm.Refusal{Reason: value, Fix: "install it"}
	case "host":
		h.Host = &vm.Refusal{Reason: value, Fix: "install it"}
	case "fetch":
		h.ImageFrom = value
	case "image":
		h.Image = &vm.Refusal{Reason: value, Fix: "install it"}
	default:
		err = fmt.Errorf("%q is not a key", key)
	}
	return err
}

func shape(s *vm.Shape, values map[string]string) (err error) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := values[key]
		switch key {
		case "image":
			s.Image = value
		case "arch":
			s.Arch = value
		case "type":
			s.Type = value
		case "cpus":
			s.CPUs, err = strconv.Atoi(value)
		case "memory":
			s.Memory, err = bytes(value)
		case "mounts":
			s.Mounts = strings.Split(value, ",")
		case "mountType":
			s.MountType = value
		case "accelerator":
			s.Accelerator = value
		case "rosetta":
			s.Rosetta = value == "on"
		case "engine":
			s.Engine = value
		default:
			err = fmt.Errorf("%q is not a key", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func bytes(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSuffix(text, "GiB"), 10, 64)
	return n << 30, err
}
