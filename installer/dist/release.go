package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// release is what is made: which version, and the time that everything in it has.
type release struct {
	// Version is what git describe says: "v0.1.0", "v0.1.0-rc.1", "v0.1.0-5-gb2626b5", or "b2626b5-dirty" before the first tag.
	Version string
	// Time is the commit's.
	Time time.Time
}

func readRelease(ctx context.Context, root string) (release, error) {
	version, err := git(ctx, root, "describe", "--tags", "--always", "--dirty")
	if err != nil {
		return release{}, err
	}
	text, err := git(ctx, root, "log", "-1", "--format=%ct")
	if err != nil {
		return release{}, err
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return release{}, fmt.Errorf("reading the commit's time: %w", err)
	}
	return release{Version: version, Time: time.Unix(seconds, 0).UTC()}, nil
}

// tag is what -version takes: a tag that describes nothing but itself.
var tag = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[A-Za-z][0-9A-Za-z.]*)?$`)

// as is the release under another version, "" for its own: so two can be made of one tree, where one is to follow the other. A strict
// release has the version of its commit, and no file has changed since.
func (r release) as(version string, strict bool) (release, error) {
	switch {
	case version != "" && !tag.MatchString(version):
		return r, &hintError{fmt.Errorf("-version: %q is no version of a release", version), "such as v0.1.0, or v0.1.0-rc.1"}
	case version != "" && strict && version != r.Version:
		return r, &hintError{fmt.Errorf("-version: %s is not what git describe says, %s", version, r.Version), "git tag"}
	case version != "":
		r.Version = version
	}
	if strict && r.dirty() {
		return r, &hintError{fmt.Errorf("%s: a release is made of a commit, and files have changed since", r.Version), "git status"}
	}
	return r, nil
}

func git(ctx context.Context, root string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", &hintError{fmt.Errorf("git %s: %w", args[0], err), "a release is made in a clone, with its history"}
	}
	return strings.TrimSpace(string(out)), nil
}

func (r release) dirty() bool { return strings.HasSuffix(r.Version, "-dirty") }

// Name is the version as names of files have it: "0.1.0".
func (r release) Name() string { return strings.TrimPrefix(r.Version, "v") }

// described is a version that begins with a tag: the tag, its pre-release, and how many commits came after it.
var described = regexp.MustCompile(`^v(\d+\.\d+\.\d+)(?:-([A-Za-z][0-9A-Za-z.]*))?(?:-(\d+)-(g[0-9a-f]+))?$`)

// Package is the version as deb and rpm compare it: "0.1.0~rc.1" comes before "0.1.0", and that before "0.1.0+5.gb2626b5"
// (deb-version(7), rpm-version(7)). Before the first tag it comes before all others.
func (r release) Package() string {
	m := described.FindStringSubmatch(strings.TrimSuffix(r.Version, "-dirty"))
	if m == nil {
		return "0.0.0~" + regexp.MustCompile(`[^0-9A-Za-z.]+`).ReplaceAllString(r.Name(), ".")
	}
	version := m[1]
	if m[2] != "" {
		version += "~" + m[2]
	}
	var later []string
	if m[3] != "" {
		later = append(later, m[3], m[4])
	}
	if r.dirty() {
		later = append(later, "dirty")
	}
	if len(later) > 0 {
		version += "+" + strings.Join(later, ".")
	}
	return version
}
