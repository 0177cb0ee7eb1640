package settings

import "strings"

// nearest returns the one of the words that was most likely meant: the same but for case, the
// beginning of it, or at most a third of its letters away.
func nearest(word string, words []string) (string, bool) {
	best, found, least := "", false, 0
	for _, w := range words {
		d := distance(strings.ToLower(word), strings.ToLower(w))
		if len(w) > 3 && strings.HasPrefix(strings.ToLower(word), strings.ToLower(w)) {
			d = 1
		}
		if d <= max(1, len(w)/3) && (!found || d < least) {
			best, found, least = w, true, d
		}
	}
	return best, found
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour
// (optimal string alignment) that makes b of a.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
