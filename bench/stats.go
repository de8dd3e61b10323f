//go:build linux

package main

import (
	"math"
	"slices"
	"strconv"
)

// A failed measurement is NaN: it keeps its place, so that rounds stay pairs.

// median leaves the failed ones out; NaN if there is no other.
func median(values []float64) float64 {
	v := sorted(values)
	if len(v) == 0 {
		return math.NaN()
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// percentile p, from 0 to 100, by the nearest rank; NaN without values.
func percentile(values []float64, p float64) float64 {
	v := sorted(values)
	if len(v) == 0 {
		return math.NaN()
	}
	rank := int(math.Ceil(p / 100 * float64(len(v))))
	return v[min(max(rank-1, 0), len(v)-1)]
}

func sorted(values []float64) []float64 {
	v := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	slices.Sort(v)
	return v
}

// pairs are the ratios a/b of each round that both took part in.
func pairs(a, b []float64) (ratios []float64) {
	for i := range min(len(a), len(b)) {
		ratios = append(ratios, a[i]/b[i])
	}
	return ratios
}

// short writes a figure with three digits that mean something, or – for none.
func short(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case math.Abs(v) >= 100:
		return thousands(int64(math.Round(v)))
	case v == 0:
		return "0"
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	return strconv.FormatFloat(v, 'f', min(max(digits, 0), 4), 64)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(s) - 3; i > first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
