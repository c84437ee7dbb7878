package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"time"
)

// Broken is the first record that does not belong where it is.
type Broken struct {
	File   string
	Line   int
	Record int64 // as it calls itself; 0 for a line that is no record
	Why    string
}

func (b *Broken) Error() string {
	if b.Record == 0 {
		return fmt.Sprintf("%s:%d: %s", b.File, b.Line, b.Why)
	}
	return fmt.Sprintf("%s:%d: record %d: %s", b.File, b.Line, b.Record, b.Why)
}

// Verified is what a chain is known to be: without gap or change between its first and its last
// record, and signed up to one of them.
type Verified struct {
	Chain       string // its name; "" where the files do not say
	First, Last int64  // numbers of the records; 0 where there is none
	Head        string // SHA-256 of the last line: kept elsewhere, it shows later that the end is still there
	Heads       int    // how many of the records sign
	Signed      int64  // the last that does
	SignedAt    time.Time
	Keys        []string // by which they are signed
	Torn        int      // bytes at the end of the last file that are no whole line
}

// Unsigned is how many records follow the last head. While a gateway runs there are some for up
// to a minute.
func (v Verified) Unsigned() int64 {
	if v.Signed == 0 && v.Last > 0 {
		return v.Last - v.First + 1
	}
	return v.Last - v.Signed
}

// Verifier checks the files of one chain, the oldest first. The zero value takes each head by
// its own word for the key, and tells which keys those were.
type Verifier struct {
	Keys []ed25519.PublicKey // of those who may sign; nil for all

	at   chain
	seen Verified
}

// Verified is what was found so far.
func (v *Verifier) Verified() Verified { return v.seen }

// Read checks one file. An error is a *Broken, or says that the file could not be read.
func (v *Verifier) Read(name string, r io.Reader) error {
	if v.seen.Torn > 0 {
		return &Broken{name, 1, 0, fmt.Sprintf("the file before this one ends in the middle of a line, after record %d", v.seen.Last)}
	}
	lines := bufio.NewReaderSize(r, 1<<16)
	var line []byte
	for number := 1; ; {
		part, err := lines.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return &Broken{name, number, 0, fmt.Sprintf("no record, but a line too long for one, after record %d", v.seen.Last)}
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			v.seen.Torn = len(line)
			return nil
		case err != nil:
			return fmt.Errorf("read audit record: %w", err)
		}
		if broken := v.check(bytes.TrimSuffix(line, []byte{'\n'})); broken != nil {
			broken.File, broken.Line = name, number
			return broken
		}
		line, number = line[:0], number+1
	}
}

// check takes the next line of the chain.
func (v *Verifier) check(line []byte) *Broken {
	p, ok := placeOf(line)
	if !ok {
		return &Broken{Why: fmt.Sprintf("no record, after record %d", v.seen.Last)}
	}
	if v.seen.First == 0 {
		v.at, _ = chainBefore(line)
		v.seen.First = p.Number
	}
	switch {
	case p.Number != v.at.last+1:
		return &Broken{Record: p.Number, Why: fmt.Sprintf("follows record %d: something between them is missing, or one of them does not belong here", v.at.last)}
	case *p.Previous != v.at.head:
		return &Broken{Record: p.Number, Why: fmt.Sprintf("does not follow from the line before it, of record %d: one of the two was changed", v.at.last)}
	case p.Number == 1 && *p.Previous != "":
		return &Broken{Record: p.Number, Why: "the first record names one before it"}
	}
	v.at.move(line)
	v.seen.Last, v.seen.Head, v.seen.Chain = v.at.last, v.at.head, v.at.name
	if isHead(line) {
		return v.checkHead(line)
	}
	return nil
}

func (v *Verifier) checkHead(line []byte) *Broken {
	key, err := readHead(line)
	if err != nil {
		return &Broken{Record: v.at.last, Why: err.Error()}
	}
	if !v.trusts(key) {
		return &Broken{Record: v.at.last, Why: "the head is signed by " + keyText(key) + ", which is not among the keys that may"}
	}
	v.seen.Heads, v.seen.Signed, v.seen.SignedAt = v.seen.Heads+1, v.at.last, glance(line).Time
	if text := keyText(key); len(v.seen.Keys) == 0 || v.seen.Keys[len(v.seen.Keys)-1] != text {
		v.seen.Keys = append(v.seen.Keys, text)
	}
	return nil
}

func (v *Verifier) trusts(key ed25519.PublicKey) bool {
	if v.Keys == nil {
		return true
	}
	for _, trusted := range v.Keys {
		if trusted.Equal(key) {
			return true
		}
	}
	return false
}
