package gateway

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shiftgrant/shiftgrant/internal/seal"
)

// readOrMakeKeys reads a key file, or makes one with a first key. A line is "VERSION BASE64"; the
// highest version is the one in use, the others still open what they sealed.
func readOrMakeKeys(path string) ([]seal.Key, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		key := newKey(1)
		return []seal.Key{key}, writeKeys(path, []seal.Key{key})
	}
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read key file %s: others can read it; run: chmod 600 %s", path, path)
	}
	return parseKeys("key file "+path, string(content))
}

func parseKeys(name, content string) ([]seal.Key, error) {
	var keys []seal.Key
	lines := bufio.NewScanner(strings.NewReader(content))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		version, encoded, _ := strings.Cut(line, " ")
		v, err := strconv.ParseUint(version, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read %s: line %d does not start with a version", name, number)
		}
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, fmt.Errorf("read %s: line %d has no base64 key", name, number)
		}
		keys = append(keys, seal.Key{Version: uint32(v), Bytes: key})
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("read %s: no key in it; restore it from your backup", name)
	}
	return keys, nil
}

func newKey(version uint32) seal.Key {
	key := seal.Key{Version: version, Bytes: make([]byte, seal.KeySize)}
	rand.Read(key.Bytes) // never fails since Go 1.24
	return key
}

// writeKeys writes the file completely before it gets its name: a half-written key would lose
// everything sealed by it.
func writeKeys(path string, keys []seal.Key) error {
	content := "# Keep a copy of this file in a safe place: without it, what it sealed is lost.\n"
	for _, key := range keys {
		content += fmt.Sprintf("%d %s\n", key.Version, base64.StdEncoding.EncodeToString(key.Bytes))
	}
	if err := writeFileDurably(path, []byte(content)); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	return nil
}

func writeFileDurably(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // an error once it is renamed, which is what is wanted
	if _, err := file.Write(content); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
