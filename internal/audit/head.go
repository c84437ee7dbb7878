package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
)

// A head is a record that signs all up to itself: its line names the hash of the line before,
// which names the one before that. The signature is over the line as it is without it.
const (
	signedAs        = "shiftgrant audit head\n"
	beforeSignature = `,"signature":"`
	afterSignature  = `"}`
)

// sign writes a head, where there is something new to sign. A failure is logged: the next try
// signs what this one would have.
func (l *Log) sign() {
	if l.config.Key == nil || l.last == l.signed {
		return
	}
	ahead := l.chain
	line, err := ahead.headLine(Record{Time: l.config.Now(), Kind: kindHead, Chain: l.name, Key: keyText(l.config.Key.Public().(ed25519.PublicKey))}, l.config.Key)
	if err == nil {
		err = l.commit(line, ahead)
	}
	if err != nil {
		l.config.Logger.Error("sign the audit record", "path", l.config.Path, "error", err)
		return
	}
	l.signed = l.last
}

// headLine is the next record of the chain, signed.
func (c *chain) headLine(record Record, key ed25519.PrivateKey) ([]byte, error) {
	body, err := encode(record)
	if err != nil {
		return nil, err
	}
	placed := *c // a copy: the line that counts is the signed one
	line := bytes.TrimSuffix(placed.appendLine(nil, body), []byte("}\n"))
	signature := ed25519.Sign(key, append([]byte(signedAs), line...))
	line = append(line, beforeSignature...)
	line = base64.StdEncoding.AppendEncode(line, signature)
	line = append(line, afterSignature...)
	c.move(line)
	return append(line, '\n'), nil
}

// isHead needs no decoding: quotes in texts are escaped, and nothing is nested.
func isHead(line []byte) bool { return bytes.Contains(line, []byte(`"kind":"`+kindHead+`"`)) }

// readHead returns the key by which a head is signed, if it is.
func readHead(line []byte) (ed25519.PublicKey, error) {
	var record Record
	if err := json.Unmarshal(line, &record); err != nil {
		return nil, errors.New("the head cannot be read")
	}
	key, err := base64.StdEncoding.DecodeString(record.Key)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("the head names no key")
	}
	at := bytes.LastIndex(line, []byte(beforeSignature))
	if at < 0 || !bytes.HasSuffix(line, []byte(afterSignature)) {
		return nil, errors.New("the head has no signature")
	}
	signature, err := base64.StdEncoding.DecodeString(string(line[at+len(beforeSignature) : len(line)-len(afterSignature)]))
	if err != nil || len(signature) != ed25519.SignatureSize || !ed25519.Verify(key, append([]byte(signedAs), line[:at]...), signature) {
		return nil, errors.New("the head's signature is wrong")
	}
	return key, nil
}

func keyText(key ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(key) }

// ParseKey reads a public key as heads and key files hold it.
func ParseKey(text string) (ed25519.PublicKey, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("this is no public key of an audit record: it has 44 characters of base64")
	}
	return key, nil
}
