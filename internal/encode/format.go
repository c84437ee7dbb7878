package encode

import (
	"errors"
	"strconv"
	"strings"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// A Format is a way to write a result.
type Format uint8

// The formats, in the order in which they are chosen where the caller has no preference.
const (
	JSON Format = iota
	NDJSON
	CSV
	Arrow
)

// ErrNotAcceptable says that none of the formats is one that the caller accepts.
var ErrNotAcceptable = errors.New("none of the accepted media types can be written")

type description struct {
	mediaTypes  []string // the first is the one we answer with
	contentType string
	layout      func([]redshift.Column, Options) layout
}

// A further format is one more line here.
var formats = [...]description{
	JSON:   {[]string{"application/json"}, "application/json", newJSON},
	NDJSON: {[]string{"application/x-ndjson", "application/ndjson", "application/jsonl"}, "application/x-ndjson", newNDJSON},
	CSV:    {[]string{"text/csv"}, "text/csv; charset=utf-8; header=present", newCSV},
	Arrow:  {[]string{"application/vnd.apache.arrow.stream"}, "application/vnd.apache.arrow.stream", newArrow},
}

// HasErrors reports whether a failure in the middle can be told within the format. Where it cannot,
// the connection has to be broken, and totals are told beside it.
func (f Format) HasErrors() bool { return f == JSON || f == NDJSON }

// ContentType is the value of the Content-Type header.
func (f Format) ContentType() string { return formats[f].contentType }

// String is the media type.
func (f Format) String() string { return formats[f].mediaTypes[0] }

// MediaTypes lists what can be asked for.
func MediaTypes() []string {
	names := make([]string, len(formats))
	for f := range formats {
		names[f] = Format(f).String()
	}
	return names
}

// Negotiate chooses the format that an Accept header likes best (RFC 9110 §12.5.1): by weight,
// then by how exactly it is named, then in our order. No header is JSON. An element that cannot
// be read counts as not there.
func Negotiate(accept string) (Format, error) {
	if strings.TrimSpace(accept) == "" {
		return JSON, nil
	}
	ranges := parseAccept(accept)
	best, bestWeight, bestExactness := JSON, 0, 0
	for f := range formats {
		weight, exactness := Format(f).weight(ranges)
		if weight > bestWeight || weight == bestWeight && weight > 0 && exactness > bestExactness {
			best, bestWeight, bestExactness = Format(f), weight, exactness
		}
	}
	if bestWeight == 0 {
		return JSON, ErrNotAcceptable
	}
	return best, nil
}

// mediaRange is one element of Accept. Its weight is in thousandths, as exact as the grammar.
type mediaRange struct {
	name   string
	weight int
}

// weight is what the most exact range that matches says.
func (f Format) weight(ranges []mediaRange) (weight, exactness int) {
	for _, r := range ranges {
		for _, name := range formats[f].mediaTypes {
			if e := r.exactness(name); e > exactness || e == exactness && e > 0 && r.weight > weight {
				weight, exactness = r.weight, e
			}
		}
	}
	return weight, exactness
}

// exactness is 3 for the media type itself, 2 for its family, 1 for */*, 0 for another.
func (r mediaRange) exactness(mediaType string) int {
	family, _, _ := strings.Cut(mediaType, "/")
	switch r.name {
	case mediaType:
		return 3
	case family + "/*":
		return 2
	case "*/*":
		return 1
	}
	return 0
}

func parseAccept(accept string) []mediaRange {
	var ranges []mediaRange
	for element := range strings.SplitSeq(accept, ",") {
		name, parameters, _ := strings.Cut(element, ";")
		r := mediaRange{strings.ToLower(strings.TrimSpace(name)), 1000}
		valid := strings.Count(r.name, "/") == 1
		for parameter := range strings.SplitSeq(parameters, ";") {
			key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
			if !strings.EqualFold(key, "q") {
				continue // such as charset; all our formats are UTF-8
			}
			var ok bool
			r.weight, ok = parseWeight(value)
			valid = valid && ok
		}
		if valid {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// parseWeight reads a qvalue: 0 to 1 with at most three decimals (RFC 9110 §12.4.2).
func parseWeight(value string) (thousandths int, ok bool) {
	whole, decimals, _ := strings.Cut(value, ".")
	if whole != "0" && whole != "1" || len(decimals) > 3 {
		return 0, false
	}
	decimals += "000"[len(decimals):]
	part, err := strconv.ParseUint(decimals, 10, 16)
	if err != nil || whole == "1" && part > 0 {
		return 0, false
	}
	if whole == "1" {
		return 1000, true
	}
	return int(part), true
}
