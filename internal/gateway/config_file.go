package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// ReadConfig reads and checks a configuration file. Errors name the line.
func ReadConfig(path string) (*Config, error) { return readConfig(path, &Config{}) }

// ReadDraft reads a configuration that may lack what AWS names only when it is made, for somebody who
// is about to make it. No gateway starts with it.
func ReadDraft(path string) (*Config, error) { return readConfig(path, &Config{draft: true}) }

func readConfig(path string, config *Config) (*Config, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w; name another file with --config", err)
	}
	if err := decodeConfig(content, config); err != nil {
		return nil, fmt.Errorf("configuration %s:%w", path, err)
	}
	if err := config.check(); err != nil {
		var at *keyError
		if errors.As(err, &at) {
			if line := lineOf(content, at.path); line > 0 {
				return nil, fmt.Errorf("configuration %s:%d: %w", path, line, err)
			}
		}
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return config, nil
}

// decodeConfig reads one document; its errors begin with the line.
func decodeConfig(content []byte, config *Config) error {
	decoder := yaml.NewDecoder(strings.NewReader(string(content)), yaml.Strict())
	if err := decoder.Decode(config); errors.Is(err, io.EOF) {
		return errors.New("1: the file is empty; docs/configuration.md has an example")
	} else if err != nil {
		return describe(err)
	}
	// What comes after would be left out silently.
	var more any
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return errors.New("1: the file has more than one YAML document; write one")
	}
	return nil
}

// describe puts the line before the words of the YAML decoder, and nothing of what the file
// says: it could be a secret.
func describe(err error) error {
	var at *lineError
	if errors.As(err, &at) {
		return at
	}
	var fault yaml.Error
	if !errors.As(err, &fault) || fault.GetToken() == nil {
		return fmt.Errorf(" %w", err)
	}
	message := fault.GetMessage()
	var unknown *yaml.UnknownFieldError
	if errors.As(err, &unknown) {
		message = unknownKey(unknown.Token.Value)
	}
	return &lineError{fault.GetToken().Position.Line, message}
}

// lineError is a fault at a line.
type lineError struct {
	line    int
	problem string
}

func (e *lineError) Error() string { return fmt.Sprintf("%d: %s", e.line, e.problem) }

// atNode gives an error of a value its line.
func atNode(node ast.Node, err error) error {
	return &lineError{node.GetToken().Position.Line, err.Error()}
}

// keyError is a fault of one key, named by its YAML path such as "$.apps[0].id".
type keyError struct{ path, problem string }

func (e *keyError) Error() string { return strings.TrimPrefix(e.path, "$.") + ": " + e.problem }

// lineOf finds the line of a YAML path, or of the nearest ancestor that is there.
func lineOf(content []byte, path string) int {
	for path != "$" && path != "" {
		if p, err := yaml.PathString(path); err == nil {
			if node, err := p.ReadNode(strings.NewReader(string(content))); err == nil && node != nil {
				return node.GetToken().Position.Line
			}
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// unknownKey says where a key belongs, or which one was probably meant.
func unknownKey(key string) string {
	var nearest string
	var sections []string
	distance := 3 // more changes than two make another word
	for _, k := range knownKeys(reflect.TypeFor[Config](), "") {
		name := k[strings.LastIndex(k, ".")+1:]
		if name == key {
			sections = append(sections, cmp.Or(strings.TrimSuffix(strings.TrimSuffix(k, name), "."), "the top level"))
		}
		if d := changes(key, name); d < distance {
			nearest, distance = name, d
		}
	}
	switch {
	case len(sections) > 0:
		return fmt.Sprintf("unknown key %q here; it belongs to %s", key, strings.Join(sections, " or "))
	case nearest != "":
		return fmt.Sprintf("unknown key %q; did you mean %s?", key, nearest)
	}
	return fmt.Sprintf("unknown key %q; docs/configuration.md has all keys", key)
}

// knownKeys lists the keys of the configuration with their sections, such as "log.level".
func knownKeys(t reflect.Type, section string) []string {
	for t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	var keys []string
	if t.Kind() != reflect.Struct {
		return nil
	}
	for field := range t.Fields() {
		name := field.Tag.Get("yaml")
		if name == "" {
			continue
		}
		keys = append(keys, section+name)
		keys = append(keys, knownKeys(field.Type, section+name+".")...)
	}
	return keys
}

// changes is the Levenshtein distance: how many letters to add, take out or replace.
func changes(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = slices.Min([]int{replaced, row[j] + 1, before + 1})
		}
	}
	return row[len(b)]
}
