package agent

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestAProgramIsKnownByItsContents(t *testing.T) {
	dir := t.TempDir()
	// A note as Go's linker writes it, somewhere in the head of a file for Linux.
	note := "\x04\x00\x00\x00\x05\x00\x00\x00\x04\x00\x00\x00Go\x00\x00a/b-c"
	for name, c := range map[string]struct{ text, want string }{
		"program": {"\x7fELF\x02\x01 header " + note + "the rest", "a/b-c"},
		"script":  {"#!/bin/sh\n" + note, ""},
		"other":   {"\x7fELF\x02\x01 header", ""},
		"torn":    {"\x7fELF\x02\x01 header " + note[:18], ""},
		"empty":   {"", ""},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ProgramID(file); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := ProgramID(filepath.Join(dir, "absent")); err == nil {
		t.Error("an absent file is known")
	}
	if runtime.GOOS != "linux" {
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if id, err := ProgramID(self); err != nil || len(id) < 20 {
		t.Errorf("this test is %q, %v", id, err)
	}
}
