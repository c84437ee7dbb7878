package dataapi

import (
	"errors"
	"fmt"
	"unicode/utf16"

	"github.com/go-json-experiment/json/jsontext"
)

// A cursor walks once over a JSON text (RFC 8259) and hands out the places of its values. It is
// as strict as package jsontext, against which it is fuzzed, except that names which occur
// twice are its caller's to find. It exists because a result is megabytes of nothing but
// strings: jsontext takes ten times as long for them. That the text is UTF-8 has to be made
// sure of before.
type cursor struct {
	text []byte
	at   int
}

// A span is a value's place in the text; a string's includes its quotes.
type span struct{ start, end int }

var errJSONCut = errors.New("the JSON ends too early")

func (c *cursor) fail(wanted string) error {
	if c.at >= len(c.text) {
		return errJSONCut
	}
	return fmt.Errorf("the JSON has %q at byte %d, where %s should be", c.text[c.at], c.at, wanted)
}

// peek is the first byte of what comes next, 0 at the end.
func (c *cursor) peek() byte {
	for c.at < len(c.text) {
		switch b := c.text[c.at]; b {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return b
		}
	}
	return 0
}

// take goes past one byte if it comes next.
func (c *cursor) take(b byte) bool {
	if c.peek() != b {
		return false
	}
	c.at++
	return true
}

// end makes sure that nothing follows.
func (c *cursor) end() error {
	if c.peek(); c.at < len(c.text) {
		return c.fail("the end")
	}
	return nil
}

// members reads an object; member has to read the value of each name.
func (c *cursor) members(member func(name []byte) error) error {
	if !c.take('{') {
		return c.fail("an object")
	}
	if c.take('}') {
		return nil
	}
	for {
		name, err := c.name()
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
		if c.take('}') {
			return nil
		}
		if !c.take(',') {
			return c.fail("a comma or the object's end")
		}
	}
}

// name reads a member's name and the colon.
func (c *cursor) name() ([]byte, error) {
	place, escaped, err := c.readString()
	if err != nil {
		return nil, err
	}
	name := c.text[place.start+1 : place.end-1]
	if escaped {
		if name, err = jsontext.AppendUnquote(nil, c.text[place.start:place.end]); err != nil {
			return nil, err
		}
	}
	if !c.take(':') {
		return nil, c.fail("a colon")
	}
	return name, nil
}

// elements reads an array; element has to read each value.
func (c *cursor) elements(element func() error) error {
	if !c.take('[') {
		return c.fail("an array")
	}
	if c.take(']') {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if c.take(']') {
			return nil
		}
		if !c.take(',') {
			return c.fail("a comma or the array's end")
		}
	}
}

// maxDepth is far above what an answer nests.
const maxDepth = 100

// skip reads any value.
func (c *cursor) skip(depth int) (span, error) {
	if depth > maxDepth {
		return span{}, errors.New("the JSON nests too deeply")
	}
	b := c.peek()
	start := c.at
	var err error
	inner := func() error {
		_, err := c.skip(depth + 1)
		return err
	}
	switch {
	case b == '{':
		err = c.members(func([]byte) error { return inner() })
	case b == '[':
		err = c.elements(inner)
	default:
		return c.scalar()
	}
	return span{start, c.at}, err
}

// scalar reads a string, number, true, false or null.
func (c *cursor) scalar() (span, error) {
	switch b := c.peek(); {
	case b == '"':
		place, _, err := c.readString()
		return place, err
	case b == 't':
		return c.word("true")
	case b == 'f':
		return c.word("false")
	case b == 'n':
		return c.word("null")
	case b == '-' || isDigit(b):
		return c.number()
	}
	return span{}, c.fail("a value")
}

func (c *cursor) word(word string) (span, error) {
	start := c.at
	for i := range len(word) {
		if c.at >= len(c.text) || c.text[c.at] != word[i] {
			return span{}, c.fail(word)
		}
		c.at++
	}
	return span{start, c.at}, nil
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// number is RFC 8259 §6.
func (c *cursor) number() (span, error) {
	start := c.at
	c.here('-')
	if !c.here('0') && !c.digits() {
		return span{}, c.fail("a digit")
	}
	if c.here('.') && !c.digits() {
		return span{}, c.fail("a digit")
	}
	if c.here('e') || c.here('E') {
		if !c.here('+') {
			c.here('-')
		}
		if !c.digits() {
			return span{}, c.fail("a digit")
		}
	}
	return span{start, c.at}, nil
}

// here goes past one byte if it stands right here.
func (c *cursor) here(b byte) bool {
	if c.at < len(c.text) && c.text[c.at] == b {
		c.at++
		return true
	}
	return false
}

func (c *cursor) digits() bool {
	start := c.at
	for c.at < len(c.text) && isDigit(c.text[c.at]) {
		c.at++
	}
	return c.at > start
}

// readString is RFC 8259 §7.
func (c *cursor) readString() (place span, escaped bool, err error) {
	if c.peek() != '"' {
		return span{}, false, c.fail("a string")
	}
	start := c.at
	c.at++
	for {
		c.at = plainEnd(c.text, c.at)
		switch {
		case c.here('"'):
			return span{start, c.at}, escaped, nil
		case c.at >= len(c.text):
			return span{}, false, errJSONCut
		case c.text[c.at] < ' ':
			return span{}, false, c.fail("no control character")
		}
		escaped = true
		if err := c.escape(); err != nil {
			return span{}, false, err
		}
	}
}

// plainEnd is where a run of characters that stand for themselves ends. Here is where a page's
// bytes are looked at one by one, so the loop is kept to three comparisons.
func plainEnd(text []byte, at int) int {
	for i, b := range text[at:] {
		if b == '"' || b == '\\' || b < ' ' {
			return at + i
		}
	}
	return len(text)
}

// escape goes past a backslash and what belongs to it. Halves of surrogate pairs are refused:
// they stand for no character.
func (c *cursor) escape() error {
	c.at++
	if c.at >= len(c.text) {
		return errJSONCut
	}
	switch c.text[c.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.at++
		return nil
	case 'u':
		c.at++
	default:
		return c.fail("an escape")
	}
	first, err := c.hex()
	if err != nil || !utf16.IsSurrogate(first) {
		return err
	}
	if !c.here('\\') || !c.here('u') {
		return c.fail("the second half of a surrogate pair")
	}
	second, err := c.hex()
	if err == nil && utf16.DecodeRune(first, second) == '\uFFFD' {
		return errors.New("the JSON has two escapes that are no surrogate pair")
	}
	return err
}

// hex reads four hexadecimal digits.
func (c *cursor) hex() (rune, error) {
	var value rune
	for range 4 {
		if c.at >= len(c.text) {
			return 0, errJSONCut
		}
		switch b := c.text[c.at]; {
		case isDigit(b):
			value = value<<4 | rune(b-'0')
		case 'a' <= b|0x20 && b|0x20 <= 'f':
			value = value<<4 | rune(b|0x20-'a'+10)
		default:
			return 0, c.fail("a hexadecimal digit")
		}
		c.at++
	}
	return value, nil
}
