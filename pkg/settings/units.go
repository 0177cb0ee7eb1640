package settings

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes.
type Size int64

// Units of sizes.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

// units are what a size can be written in. Those of 1024 come first, so that a size prints in
// one of them when it can; larger ones come before smaller ones.
var units = []struct {
	name string
	size Size
}{
	{"TiB", TiB},
	{"GiB", GiB},
	{"MiB", MiB},
	{"KiB", KiB},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"B", 1},
}

// ParseSize reads a size: a number, which may have decimals, and a unit of any case, from B to
// TiB or TB. Without a unit it is bytes. The error has a method Hint.
func ParseSize(text string) (Size, error) {
	var s Size
	if f := s.set(text); f != nil {
		return 0, f
	}
	return s, nil
}

// String prints a size such that ParseSize reads exactly it: "10MiB", "1500kB", "7B".
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return "0B"
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(text []byte) error {
	parsed, err := ParseSize(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}

func (s *Size) kind() string { return "text" }

func (s *Size) set(text string) *fault {
	number, unit := splitNumber(text)
	factor, known := unitSize(unit)
	if n, err := strconv.ParseFloat(number, 64); err == nil && known {
		bytes := n * float64(factor)
		if whole, err := strconv.ParseInt(number, 10, 64); err == nil && whole <= math.MaxInt64/int64(factor) {
			*s = Size(whole) * factor // exact, where a float would round
			return nil
		}
		if bytes >= math.MaxInt64 {
			return &fault{text: fmt.Sprintf("%q is larger than any disk", text)}
		}
		*s = Size(math.Round(bytes))
		return nil
	}
	f := &fault{fmt.Sprintf("%q is not a size", text), `write it like "512MiB" or "20GiB"`}
	if unit = strings.TrimSpace(unit); number != "" && !strings.HasPrefix(number, ".") && unit != "" {
		if i := strings.IndexByte("KMGT", strings.ToUpper(unit)[0]); i >= 0 {
			if _, known := unitSize(unit); !known {
				unit = "KMGT"[i:i+1] + "iB"
			}
			f.hint = fmt.Sprintf("try %q", strings.TrimSuffix(number, ".")+unit)
		}
	}
	return f
}

func (s *Size) atLeast(least Size) func() *fault {
	return func() *fault {
		if *s >= least {
			return nil
		}
		return &fault{fmt.Sprintf("%q is too small", s), fmt.Sprintf("use %q at least", least)}
	}
}

// zeroOr is atLeast with 0 for any size.
func (s *Size) zeroOr(least Size) func() *fault {
	return func() *fault {
		if *s == 0 || *s >= least {
			return nil
		}
		return &fault{fmt.Sprintf("%q is too small", s), fmt.Sprintf("use %q at least, or 0 for any size", least)}
	}
}

func unitSize(name string) (Size, bool) {
	if name == "" {
		return 1, true
	}
	for _, u := range units {
		if strings.EqualFold(name, u.name) {
			return u.size, true
		}
	}
	return 0, false
}

// splitNumber cuts a text after the digits and the decimal point it begins with.
func splitNumber(text string) (number, rest string) {
	i := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if i < 0 {
		return text, ""
	}
	return text[:i], text[i:]
}

// Duration is a time.Duration that is never negative and prints without empty parts.
type Duration time.Duration

// ParseDuration reads a duration as time.ParseDuration does. The error has a method Hint.
func ParseDuration(text string) (Duration, error) {
	var d Duration
	if f := d.set(text); f != nil {
		return 0, f
	}
	return d, nil
}

// String prints a duration such that ParseDuration reads exactly it: "10s", "1h30m", "720h".
func (d Duration) String() string {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	if err == nil {
		*d = parsed
	}
	return err
}

func (d *Duration) kind() string { return "text" }

func (d *Duration) set(text string) *fault {
	parsed, err := time.ParseDuration(text)
	switch {
	case err == nil && parsed < 0:
		return &fault{fmt.Sprintf("%q is negative", text), fmt.Sprintf("try %q", Duration(parsed.Abs()))}
	case err == nil:
		*d = Duration(parsed)
		return nil
	}
	f := &fault{fmt.Sprintf("%q is not a duration", text), `write it like "10s", "5m" or "720h"`}
	number, unit := splitNumber(text)
	n, err := strconv.Atoi(number)
	if err != nil || n > 1_000_000 {
		return f
	}
	switch unit = strings.ToLower(strings.TrimSpace(unit)); {
	case unit == "":
		f.hint = fmt.Sprintf("try %q", number+"s")
	case unit == "d", strings.HasPrefix(unit, "day"):
		f.hint = fmt.Sprintf("try %q", strconv.Itoa(24*n)+"h")
	case unit == "w", strings.HasPrefix(unit, "week"):
		f.hint = fmt.Sprintf("try %q", strconv.Itoa(24*7*n)+"h")
	case strings.ContainsRune("smh", rune(unit[0])):
		f.hint = fmt.Sprintf("try %q", number+unit[:1])
	}
	return f
}

func (d *Duration) atLeast(least Duration) func() *fault {
	return func() *fault {
		if *d >= least {
			return nil
		}
		return &fault{fmt.Sprintf("%q is too short", d), fmt.Sprintf("use %q at least", least)}
	}
}

// zeroOr is atLeast with 0 for ever.
func (d *Duration) zeroOr(least Duration) func() *fault {
	return func() *fault {
		if *d == 0 || *d >= least {
			return nil
		}
		return &fault{fmt.Sprintf("%q is too short", d), fmt.Sprintf("use %q at least, or \"0s\" for ever", least)}
	}
}
