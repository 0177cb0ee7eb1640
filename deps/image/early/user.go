//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// makeUser makes Lima's user: the account, its home, its keys, and sudo without a password.
func makeUser(root string, c *cidata) error {
	name, uid, home := c.env["USER"], c.env["UID"], c.env["HOME"]
	shell := c.env["SHELL"]
	if shell == "" {
		shell = "/bin/bash"
	}
	etc := filepath.Join(root, "etc")
	comment := strings.NewReplacer(":", " ", "\n", " ").Replace(c.env["COMMENT"])
	err := errors.Join(
		setEntry(filepath.Join(etc, "passwd"), name, fmt.Sprintf("%s:x:%s:%s:%s:%s:%s", name, uid, uid, comment, home, shell), 0o644),
		setEntry(filepath.Join(etc, "group"), name, fmt.Sprintf("%s:x:%s:", name, uid), 0o644),
		// No password is right, and yet the account is not locked: sshd refuses a locked one.
		setEntry(filepath.Join(etc, "shadow"), name, name+":*:20000:0:99999:7:::", 0o640),
		setEntry(filepath.Join(etc, "subuid"), name, name+":524288:1073741824", 0o644),
		setEntry(filepath.Join(etc, "subgid"), name, name+":524288:1073741824", 0o644),
		write(filepath.Join(etc, "sudoers.d", "lima"), name+" ALL=(ALL) NOPASSWD:ALL\n", 0o440),
	)
	if err != nil {
		return err
	}
	return errors.Join(makeHome(root, filepath.Join(root, home), c), makeHostServices(filepath.Join(root, "run/host-services"), c.uid()))
}

// makeHostServices makes the directory in which the user's own sshd puts the socket of an SSH agent that the host lends.
func makeHostServices(dir string, uid int) error {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.Chown(dir, uid, uid)
	}
	if err != nil {
		return fmt.Errorf("making the place of the host's services: %w", err)
	}
	return nil
}

func makeHome(root, home string, c *cidata) error {
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o755); err != nil {
		return fmt.Errorf("making the home: %w", err)
	}
	skeleton, err := os.ReadDir(filepath.Join(root, "etc/skel"))
	if err != nil {
		return fmt.Errorf("reading what a home begins with: %w", err)
	}
	own := []string{home, filepath.Join(home, ".ssh")}
	for _, f := range skeleton {
		to := filepath.Join(home, f.Name())
		if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, "etc/skel", f.Name()))
		if err == nil {
			err = os.WriteFile(to, text, 0o644)
		}
		if err != nil {
			return fmt.Errorf("filling the home: %w", err)
		}
		own = append(own, to)
	}
	var keys []string
	for _, u := range c.user.Users {
		keys = append(keys, u.Keys...)
	}
	authorized := filepath.Join(home, ".ssh/authorized_keys")
	if err := write(authorized, strings.Join(keys, "\n")+"\n", 0o600); err != nil {
		return err
	}
	for _, path := range append(own, authorized) {
		if err := os.Chown(path, c.uid(), c.uid()); err != nil {
			return fmt.Errorf("giving the home to its user: %w", err)
		}
	}
	return os.Chmod(filepath.Join(home, ".ssh"), 0o700)
}

// setEntry sets the one line of a file like passwd(5) that begins with a name.
func setEntry(file, name, line string, mode fs.FileMode) error {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("making the user: %w", err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return l == "" || strings.HasPrefix(l, name+":") })
	lines = append(lines, line)
	after := strings.Join(lines, "\n") + "\n"
	if after == string(text) {
		return nil
	}
	return write(file, after, mode)
}

// write replaces a file, whole or not at all, also when the machine is switched off meanwhile.
func write(file, text string, mode fs.FileMode) error {
	if old, err := os.ReadFile(file); err == nil && string(old) == text {
		return os.Chmod(file, mode)
	}
	temporary := file + ".linnet"
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temporary, file)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

// hostKey takes the key by which the machine's sshd is known from cidata: the host has made it, for this start, and
// connects to no other.
func hostKey(c *cidata, to string) error {
	source, ok := c.dataFiles()[hostKeyFile]
	if !ok {
		return errors.New("there is none on cidata: a machine is started by linnet")
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("reading cidata: %w", err)
	}
	if _, err := ssh.ParsePrivateKey(text); err != nil {
		return fmt.Errorf("reading cidata: %w", err)
	}
	return write(to, string(text), 0o600)
}
