// near: finds the word that was most likely meant, for messages about typing mistakes.

package manifest

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest returns the candidate closest to word, or "" if none is close enough to suggest. The
// distance is the number of letters to insert, delete, replace or swap; ties go to the
// alphabetically first.
func Nearest(word string, candidates []string) string {
	sorted := slices.Sorted(slices.Values(candidates))
	best, bestDistance := "", max(1, min(3, len(word)/3))+1
	for _, c := range sorted {
		if abs(len(c)-len(word)) >= bestDistance || len(word) > 128 || c == word {
			continue
		}
		if d := distance(word, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// NameHint returns a hint for an unknown name: the known name that was probably meant, or else the
// known names, the first 20 of them.
func NameHint(name string, known []string) string {
	const most = 20
	if hint := didYouMean(name, known); hint != "" {
		return hint
	}
	switch {
	case len(known) == 0:
		return "there are none"
	case len(known) > most:
		return fmt.Sprintf("there are: %s and %d more", strings.Join(known[:most], ", "),
			len(known)-most)
	}
	return "there are: " + strings.Join(known, ", ")
}

// didYouMean returns the hint for a word that is none of the candidates, or "".
func didYouMean(word string, candidates []string) string {
	if near := Nearest(word, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// distance is the optimal string alignment distance of two words, counted in bytes.
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}

func abs(n int) int { return max(n, -n) }
