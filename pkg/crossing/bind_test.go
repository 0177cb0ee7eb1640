package crossing

import "testing"

// TestIsVolumeName holds the rule to nerdctl's: two characters or more of a name.
func TestIsVolumeName(t *testing.T) {
	for name, want := range map[string]bool{
		"data": true, "a1": true, "a.b_c-d": true, "a": false, "": false, ".a": false, "a/b": false, "~": false, "ü1": false, "-a": false, "a b": false,
	} {
		if isVolumeName(name) != want {
			t.Errorf("%q: want %v", name, want)
		}
	}
}
