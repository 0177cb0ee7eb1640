// Package guestimage keeps the images that virtual machines are made from: one file on the wire, a directory on the disk,
// each known by the SHA-256 of that file. It fetches, checks, unpacks, lists and removes them.
//
// It exists so that nothing of an image is used before its digest is checked, and so that what comes over the network sets no
// size, no name and no mode here. It must not know what runs a machine, nor what a setting or a command line is.
package guestimage

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// part is a file of an image.
type part struct {
	name string
	// most is its largest size in bytes: the maker of a packed image does not choose how much is written here.
	most     int64
	optional bool
}

// manifest says what is in an image. It is the first in the packed form: the space that the rest takes stands in it.
const manifest = "manifest.json"

// parts is the closed list of what an image is made of, in the order of the packed form.
var parts = []part{
	{name: manifest, most: 4 << 20},
	{name: "cmdline", most: 64 << 10},
	{name: "cmdline.tcg", most: 64 << 10, optional: true},
	{name: "disk.raw", most: 16 << 30},
	{name: "initrd", most: 512 << 20},
	{name: "kernel", most: 512 << 20},
	{name: "kernel.packed", most: 512 << 20, optional: true},
}

// mostPacked is the largest packed form, in bytes.
const mostPacked = 4 << 30

// Digest is the SHA-256 of an image's packed form: "sha256:" and 64 hexadecimal digits in lower case.
type Digest string

const algorithm = "sha256:"

// ParseDigest reads a digest. Its error has a hint.
func ParseDigest(text string) (Digest, error) {
	if digits, ok := strings.CutPrefix(text, algorithm); ok && isHex(digits) && len(digits) == 2*sha256.Size {
		return Digest(text), nil
	}
	return "", hint.With(fmt.Errorf("%q is not a digest", text), "write it as sha256: and 64 hexadecimal digits")
}

// Hex is the digest without the name of its algorithm.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), algorithm) }

// Short is as much of a digest as tells images apart for people: 12 digits.
func (d Digest) Short() string { return fmt.Sprintf("%.12s", d.Hex()) }

func digestOf(sum []byte) Digest { return Digest(algorithm + hex.EncodeToString(sum)) }

func isHex(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })
}

// FileName is the name of the packed form of a version, without a leading v, for an architecture as Go names it.
func FileName(version, arch string) string {
	return "linnet-guest-" + version + "-" + arch + ".tar.zst"
}

// sizeText is a number of bytes for people, in MiB.
func sizeText(n int64) string {
	const mib = 1 << 20
	if n < 10*mib {
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
	return fmt.Sprintf("%d MiB", n/mib)
}
