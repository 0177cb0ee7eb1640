package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/deps"
)

// sumsName is the file with the digests of all others.
const sumsName = "SHA256SUMS"

// envKey names the private SSH key that SHA256SUMS is signed with, and signedFor what it is signed for: a signature for something else
// is none of a release (ssh-keygen(1), -Y sign, -n).
const (
	envKey    = "LINNET_SIGNING_KEY"
	signedFor = "linnet-release"
)

// seal writes the digests of all that was made, as sha256sum(1) does, and signs them where a key is given. ssh-keygen verifies that, and
// both Linux and macOS have it.
func (d *dist) seal(ctx context.Context) error {
	entries, err := os.ReadDir(d.work) // sorted
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		sum, err := deps.Digest(filepath.Join(d.work, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, e.Name())
	}
	file := filepath.Join(d.work, sumsName)
	if err := os.WriteFile(file, []byte(sums.String()), 0o644); err != nil {
		return err
	}
	key := os.Getenv(envKey)
	if key == "" {
		d.say("%s is not signed: %s names no key", sumsName, envKey)
		return nil
	}
	out, err := exec.CommandContext(ctx, "ssh-keygen", "-Y", "sign", "-f", key, "-n", signedFor, file).CombinedOutput()
	if err != nil {
		return &hintError{fmt.Errorf("signing %s: %w: %s", sumsName, err, strings.TrimSpace(string(out))), envKey + " is the path of a private SSH key"}
	}
	return nil
}
