package settings

import (
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Backend is where containers run.
type Backend string

// The backends. Auto is Native where that is possible and Lima everywhere else.
const (
	Auto   Backend = "auto"
	Native Backend = "native"
	Lima   Backend = "lima"
)

func (b *Backend) kind() string { return "text" }

// String is the text as it stands in the file.
func (b Backend) String() string { return string(b) }

func (b *Backend) set(text string) *fault {
	return oneOf(b, text, Auto, Native, Lima)
}

// Snapshotter is a containerd snapshotter.
type Snapshotter string

// The snapshotters that linnet sets up.
const (
	Overlayfs     Snapshotter = "overlayfs"
	NativeCopy    Snapshotter = "native"
	FuseOverlayfs Snapshotter = "fuse-overlayfs"
	Stargz        Snapshotter = "stargz"
)

func (s *Snapshotter) kind() string { return "text" }

// String is the text as it stands in the file.
func (s Snapshotter) String() string { return string(s) }

func (s *Snapshotter) set(text string) *fault {
	return oneOf(s, text, Overlayfs, NativeCopy, FuseOverlayfs, Stargz)
}

// Level is how important a message is.
type Level string

// The levels, from the least important on.
const (
	LevelDebug Level = "debug"
	LevelInfo  Level = "info"
	LevelWarn  Level = "warn"
	LevelError Level = "error"
)

func (l *Level) kind() string { return "text" }

// String is the text as it stands in the file.
func (l Level) String() string { return string(l) }

func (l *Level) set(text string) *fault {
	return oneOf(l, text, LevelDebug, LevelInfo, LevelWarn, LevelError)
}

// OnOff is on or off.
type OnOff string

// What an OnOff can be.
const (
	On  OnOff = "on"
	Off OnOff = "off"
)

func (o *OnOff) kind() string { return "text" }

// String is the text as it stands in the file.
func (o OnOff) String() string { return string(o) }

func (o *OnOff) set(text string) *fault { return oneOf(o, text, On, Off) }

// oneOf sets *to to the text when it is one of the choices.
func oneOf[T ~string](to *T, text string, choices ...T) *fault {
	names := make([]string, len(choices))
	for i, c := range choices {
		if text == string(c) {
			*to = c
			return nil
		}
		names[i] = string(c)
	}
	f := &fault{text: fmt.Sprintf("%q is not one of %s", text, strings.Join(names, ", "))}
	if near, ok := nearest(text, names); ok {
		f.hint = fmt.Sprintf("try %q", near)
	}
	return f
}

// Count is a whole number.
type Count int

func (c *Count) kind() string { return "a number" }

// String is the number in decimal.
func (c Count) String() string { return strconv.Itoa(int(c)) }

func (c *Count) set(text string) *fault {
	n, err := strconv.Atoi(text)
	if err != nil {
		return &fault{text: fmt.Sprintf("%q is not a whole number", text)}
	}
	*c = Count(n)
	return nil
}

func (c *Count) between(low, high Count) func() *fault {
	return func() *fault {
		if *c >= low && *c <= high {
			return nil
		}
		return &fault{
			text: fmt.Sprintf("%d is not between %d and %d", *c, low, high),
			hint: fmt.Sprintf("try %d", min(max(*c, low), high)),
		}
	}
}

// Subnet is an IPv4 network in CIDR notation.
type Subnet struct{ netip.Prefix }

var defaultSubnet = Subnet{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 231, 0, 0}), 16)}

// The sizes of a pool: fewer networks than /22 holds run out at once, and more than /8 would
// take in addresses of others.
const widestSubnet, narrowestSubnet = 8, 22

func (s *Subnet) kind() string { return "text" }
func (s *Subnet) set(text string) *fault {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		f := &fault{text: fmt.Sprintf("%q is not a subnet", text), hint: fmt.Sprintf("write it like %q", defaultSubnet)}
		if addr, err := netip.ParseAddr(text); err == nil && addr.Is4() {
			f.hint = fmt.Sprintf("try %q", netip.PrefixFrom(addr, 16).Masked())
		}
		return f
	}
	switch {
	case !p.Addr().Is4():
		return &fault{fmt.Sprintf("%q is not an IPv4 subnet", text), fmt.Sprintf("write it like %q", defaultSubnet)}
	case p.Bits() < widestSubnet || p.Bits() > narrowestSubnet:
		fits := netip.PrefixFrom(p.Addr(), min(max(p.Bits(), widestSubnet), narrowestSubnet)).Masked()
		return &fault{
			fmt.Sprintf("%q is not between /%d and /%d", text, widestSubnet, narrowestSubnet),
			fmt.Sprintf("try %q", fits),
		}
	case p != p.Masked():
		return &fault{fmt.Sprintf("%q has bits set outside its mask", text), fmt.Sprintf("try %q", p.Masked())}
	}
	for _, taken := range [...]string{"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"} {
		if p.Overlaps(netip.MustParsePrefix(taken)) {
			return &fault{
				fmt.Sprintf("%q overlaps with %s, which containers cannot use", text, taken),
				fmt.Sprintf("use private addresses, like %q", defaultSubnet),
			}
		}
	}
	*s = Subnet{p}
	return nil
}

// Address is an IP address of the host.
type Address struct{ netip.Addr }

var anyAddress = Address{netip.IPv4Unspecified()}

func (a *Address) kind() string { return "text" }
func (a *Address) set(text string) *fault {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" || addr.IsMulticast() {
		f := &fault{text: fmt.Sprintf("%q is not an IP address", text), hint: `write it like "0.0.0.0" or "127.0.0.1"`}
		if strings.EqualFold(text, "localhost") {
			f.hint = `try "127.0.0.1"`
		}
		return f
	}
	*a = Address{addr.Unmap()}
	return nil
}

// Hosts is a list of registries, each a host or host:port.
type Hosts []string

func (h *Hosts) kind() string       { return "a list" }
func (h *Hosts) items() []string    { return *h }
func (h *Hosts) put(items []string) { *h = items }
func (h *Hosts) item(text string) *fault {
	if isHost(text) {
		return nil
	}
	f := &fault{text: fmt.Sprintf("%q is not a host or host:port", text)}
	_, rest, found := strings.Cut(text, "://")
	if !found {
		rest = text
	}
	if rest, _, _ = strings.Cut(rest, "/"); rest != text && isHost(rest) {
		f.hint = fmt.Sprintf("try %q", rest)
	}
	return f
}

// isHost reports whether text is a host name or address, an IPv6 one in brackets, with or without
// a port.
func isHost(text string) bool {
	host, port := text, ""
	if i := strings.LastIndexByte(text, ':'); i >= 0 && !strings.HasSuffix(text, "]") {
		host, port = text[:i], text[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return closed && err == nil && addr.Is6()
	}
	for _, r := range host {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", r) {
			return false
		}
	}
	return host != "" && !strings.ContainsAny(host[:1]+host[len(host)-1:], ".-")
}

// Dirs is a list of absolute paths, slash-separated.
type Dirs []string

func (d *Dirs) kind() string       { return "a list" }
func (d *Dirs) items() []string    { return *d }
func (d *Dirs) put(items []string) { *d = items }
func (d *Dirs) item(text string) *fault {
	if path.IsAbs(text) && !strings.ContainsRune(text, 0) {
		return nil
	}
	return &fault{fmt.Sprintf("%q is not an absolute path", text), "write it in full, from / on"}
}
