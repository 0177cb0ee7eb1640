package settings

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestSizesParse(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "7": 7, "7B": 7, "10MiB": 10 * MiB, "10mib": 10 * MiB, "1.5GiB": GiB + GiB/2, "20GB": 20e9,
		"3kB": 3000, "3KB": 3000, "2TiB": 2 * TiB, "1TB": 1e12, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v", text, got, err)
		}
	}
}

func TestSizesAndDurationsPrintWhatParsesBack(t *testing.T) {
	sizes := []Size{0, 1, 1023, KiB, 1500, MiB + 1, 20 * GiB, 1e12, math.MaxInt64}
	durations := []Duration{0, 1, Duration(time.Second), Duration(90 * time.Minute), Duration(time.Hour + time.Second), Duration(720 * time.Hour)}
	for range 2000 {
		sizes = append(sizes, Size(rand.Int64()>>rand.IntN(63)))
		durations = append(durations, Duration(rand.Int64()>>rand.IntN(63)))
	}
	for _, s := range sizes {
		var back Size
		text, _ := s.MarshalText()
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%d prints as %s, which parses as %d, %v", int64(s), text, back, err)
		}
	}
	for _, d := range durations {
		var back Duration
		text, _ := d.MarshalText()
		if err := back.UnmarshalText(text); err != nil || back != d {
			t.Errorf("%d prints as %s, which parses as %d, %v", int64(d), text, back, err)
		}
	}
}

func TestSizesAndDurationsPrintForPeople(t *testing.T) {
	for s, want := range map[Size]string{0: "0B", 7: "7B", 10 * MiB: "10MiB", 1536 * MiB: "1536MiB", 1500: "1500B", 3e6: "3MB", 2000: "2kB"} {
		if got := s.String(); got != want {
			t.Errorf("%d prints as %s, want %s", int64(s), got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 10 * time.Second: "10s", 720 * time.Hour: "720h", 90 * time.Minute: "1h30m",
		time.Hour + 10*time.Second: "1h0m10s", 10 * time.Minute: "10m", 20 * time.Hour: "20h",
	} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v prints as %s, want %s", d, got, want)
		}
	}
}

func TestAnErrorOfAUnitHasItsHint(t *testing.T) {
	_, sizeErr := ParseSize("4GG")
	_, durationErr := ParseDuration("3d")
	for _, c := range []struct {
		err        error
		text, hint string
	}{
		{sizeErr, `"4GG" is not a size`, `try "4GiB"`},
		{durationErr, `"3d" is not a duration`, `try "72h"`},
	} {
		hinted, ok := c.err.(interface{ Hint() string })
		if !ok || c.err.Error() != c.text || hinted.Hint() != c.hint {
			t.Errorf("got %v, want %s / %s", c.err, c.text, c.hint)
		}
	}
}
