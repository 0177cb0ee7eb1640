//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	dataDir   = "/var/lib/linnet"
	dataLabel = "linnet-data"
)

// dataDisk mounts the data disk, and makes its file system when the disk is blank. A disk that is neither
// ours nor blank is never touched.
func dataDisk(ctx context.Context) error {
	if mounted(dataDir) {
		return nil
	}
	device, blank, err := findDataDisk()
	if err != nil {
		return err
	}
	if blank {
		if err := format(ctx, device); err != nil {
			return fmt.Errorf("making the data disk's file system: %w", err)
		}
	}
	sb, err := readExt4(device)
	if err := errors.Join(err, readFar(device)); err != nil {
		return err
	}
	if !sb.used && isMarked(device) {
		if err := mark(device, strings.Repeat("\x00", len(being))); err != nil {
			return fmt.Errorf("finishing the data disk: %w", err)
		}
	}
	if sb.broken {
		if err := repair(ctx, device); err != nil {
			return fmt.Errorf("repairing the data disk: %w", err)
		}
	}
	if err := os.MkdirAll(dataDir, 0o755); err != nil {
		return fmt.Errorf("making the data disk's mount point: %w", err)
	}
	// Without delayed allocation a file's blocks are on the disk before the journal says that the file is there. No program
	// syncs an image's files one by one; but containerd's database is synced, and with it all that was written before.
	// With it, a machine that is killed has images whose youngest files are empty.
	if err := unix.Mount(device, dataDir, "ext4", unix.MS_NOATIME, "nodelalloc"); err != nil {
		return fmt.Errorf("mounting the data disk %s: %w", device, err)
	}
	if size, err := deviceSize(device); err == nil && sb.size+(64<<20) < size {
		if err := command(ctx, "resize2fs", device); err != nil {
			return fmt.Errorf("growing the data disk's file system: %w", err)
		}
	}
	return nil
}

// findDataDisk looks for the disk by what is on it: which device Lima's second disk becomes is up to the order
// in which the kernel finds them.
func findDataDisk() (device string, blank bool, err error) {
	root, err := os.Readlink(rootLink)
	if err != nil {
		return "", false, fmt.Errorf("asking which disk is the root: %w", err)
	}
	found, err := filepath.Glob("/sys/block/vd*")
	if err != nil {
		return "", false, fmt.Errorf("listing disks: %w", err)
	}
	var devices []string
	for _, d := range found {
		if name := filepath.Base(d); name != root && isoLabel("/dev/"+name) == "" {
			devices = append(devices, "/dev/"+name)
		}
	}
	return chooseDataDisk(devices)
}

// chooseDataDisk prefers the disk that is ours to one that is blank, and takes no other.
func chooseDataDisk(devices []string) (device string, blank bool, err error) {
	var empty, others []string
	for _, device := range devices {
		sb, err := readExt4(device)
		switch {
		case err == nil && sb.label == dataLabel:
			return device, false, nil
		case isBlank(device), isUnfinished(device):
			empty = append(empty, device)
		default:
			others = append(others, device)
		}
	}
	switch {
	case len(empty) > 0:
		return empty[0], true, nil
	case len(others) > 0:
		return "", false, fmt.Errorf("finding the data disk: %s is not empty and not linnet's", strings.Join(others, ", "))
	}
	return "", false, errors.New("finding the data disk: there is none")
}

// isBlank reports whether nothing was ever written where any file system, partition table or volume manager
// keeps what it is known by: in the first or the last MiB.
func isBlank(device string) bool {
	f, err := os.Open(device)
	if err != nil {
		return false
	}
	defer f.Close()
	const end = 1 << 20
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size < 2*end {
		return false
	}
	part, zero := make([]byte, end), make([]byte, end)
	for _, at := range []int64{0, size - end} {
		if _, err := f.ReadAt(part, at); err != nil || !bytes.Equal(part, zero) {
			return false
		}
	}
	return true
}

// being is on a disk while its file system is made, which writes a thousand blocks, the superblock last: a machine that
// is switched off meanwhile leaves a disk that is neither blank nor ours.
const (
	being   = "linnet-data: being made\n"
	beingAt = 512 << 10 // before the end; mkfs writes nothing there, as long as it does not discard
)

// format makes the file system: with a journal (a machine may be switched off), and without the wait for all its tables.
// The mark stays until it is mounted.
func format(ctx context.Context, device string) error {
	if err := mark(device, being); err != nil {
		return err
	}
	return command(ctx, "mkfs.ext4", "-q", "-F", "-L", dataLabel, "-m", "1", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", device)
}

// mark writes to where being stands, and has it on the disk.
func mark(device, text string) error {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("marking it: %w", err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.WriteAt([]byte(text), size-beingAt)
	}
	if err := errors.Join(err, f.Sync()); err != nil {
		return fmt.Errorf("marking it: %w", err)
	}
	return nil
}

// isUnfinished reports whether a disk is one whose file system was being made: it is marked, and has nothing where a
// superblock is.
func isUnfinished(device string) bool {
	f, err := os.Open(device)
	if err != nil {
		return false
	}
	defer f.Close()
	front := make([]byte, 4096)
	_, err = f.ReadAt(front, 0)
	return err == nil && bytes.Equal(front, make([]byte, len(front))) && isMarked(device)
}

func isMarked(device string) bool {
	f, err := os.Open(device)
	if err != nil {
		return false
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size < 2*beingAt {
		return false
	}
	text := make([]byte, len(being))
	_, err = f.ReadAt(text, size-beingAt)
	return err == nil && string(text) == being
}

type ext4 struct {
	label  string
	size   int64 // bytes
	broken bool  // the kernel has seen errors in it
	used   bool  // it was mounted before
}

// readExt4 reads a superblock (the kernel's Documentation/filesystems/ext4/super.rst).
func readExt4(device string) (ext4, error) {
	var sb [1024]byte
	f, err := os.Open(device)
	if err != nil {
		return ext4{}, fmt.Errorf("reading the disk: %w", err)
	}
	defer f.Close()
	if _, err := f.ReadAt(sb[:], 1024); err != nil {
		return ext4{}, fmt.Errorf("reading the disk %s: %w", device, err)
	}
	if binary.LittleEndian.Uint16(sb[0x38:]) != 0xEF53 {
		return ext4{}, fmt.Errorf("reading the disk %s: no ext4", device)
	}
	blocks := int64(binary.LittleEndian.Uint32(sb[0x4:])) | int64(binary.LittleEndian.Uint32(sb[0x150:]))<<32
	const errorsSeen = 2
	return ext4{
		label:  strings.TrimRight(string(sb[0x78:0x88]), "\x00"),
		size:   blocks << (10 + binary.LittleEndian.Uint32(sb[0x18:])),
		broken: binary.LittleEndian.Uint16(sb[0x3A:])&errorsSeen != 0,
		used:   binary.LittleEndian.Uint32(sb[0x2C:]) != 0,
	}, nil
}

// repair mends what can be mended without a question. Its codes 1 and 2 say that it has: e2fsck(8).
func repair(ctx context.Context, device string) error {
	err := command(ctx, "e2fsck", "-p", device)
	var ended *exec.ExitError
	if errors.As(err, &ended) && (ended.ExitCode() == 1 || ended.ExitCode() == 2) {
		return nil
	}
	return err
}

func deviceSize(device string) (int64, error) {
	text, err := os.ReadFile("/sys/block/" + strings.TrimPrefix(device, "/dev/") + "/size")
	if err != nil {
		return 0, err
	}
	sectors, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return sectors * 512, err
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}
