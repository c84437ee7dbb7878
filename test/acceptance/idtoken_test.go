package acceptance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"time"
)

// T15. An ID token of which anything is dropped or altered signs nobody in.
func idTokenMutations(a *attempt) {
	l := a.lab()
	for what, claims := range map[string]map[string]any{
		"a good token": {}, "one audience in a list": {"aud": []string{upstreamClient}}, "several audiences and azp": {"aud": []string{upstreamClient, "x"}, "azp": upstreamClient},
		"an e-mail address that is not verified, as text": {"email_verified": "false"},
	} {
		l.tryToken(what, true, func(nonce string) string { return l.own.sign(rs256(), encoded(changed(l.own.claims(nonce), claims))) })
	}
	for what, claims := range wrongClaims(l.own.issuer, time.Now().Unix()) {
		l.tryToken(what, false, func(nonce string) string { return l.own.sign(rs256(), encoded(changed(l.own.claims(nonce), claims))) })
	}
	for what, change := range wrongPayloads() {
		l.tryToken(what, false, func(nonce string) string { return l.own.sign(rs256(), change(encoded(l.own.claims(nonce)))) })
	}
	for what, make := range l.forgeries() {
		l.tryToken(what, false, func(nonce string) string { return make(encoded(l.own.claims(nonce))) })
	}
	in, got := l.signsIn()
	a.check(in, "a good token after all that: %s", got)
}

func rs256() map[string]any { return map[string]any{"alg": "RS256", "kid": keyID, "typ": "JWT"} }

func (l *lab) tryToken(what string, accept bool, make func(nonce string) string) {
	l.Helper()
	l.own.set(func(u *upstream) { u.idToken = make })
	defer l.own.set(func(u *upstream) { u.idToken = nil })
	in, got := l.signsIn()
	l.check(in == accept, "%s: signed in is %v: %s", what, in, got)
}

// wrongClaims drop or alter one claim each.
func wrongClaims(issuer string, now int64) map[string]map[string]any {
	wrong := map[string]map[string]any{}
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "nonce", "preferred_username"} {
		wrong["no "+name] = map[string]any{name: nil}
		for kind, value := range map[string]any{"a number": 1, "a boolean": true, "an object": map[string]any{"x": 1}, "an empty text": "", "an empty list": []string{}} {
			if kind == "a number" && (name == "iat" || name == "exp") {
				value = -1
			}
			if name == "iat" && kind == "a number" {
				continue // a token may be old, if it has not expired
			}
			wrong[name+" is "+kind] = map[string]any{name: value}
		}
	}
	// Somebody who was here before keeps their database user, so these are about somebody new.
	for what, claims := range wrong {
		if strings.Contains(what, "preferred_username") {
			claims["sub"] = "own|somebody new"
		}
	}
	for what, claims := range map[string]map[string]any{
		"issuer with a slash": {"iss": issuer + "/"}, "issuer in capitals": {"iss": strings.ToUpper(issuer)}, "another issuer": {"iss": "https://accounts.example.com"}, "a list of issuers": {"iss": []string{issuer}},
		"another audience": {"aud": "somebody"}, "other audiences": {"aud": []string{"a", "b"}}, "audience in capitals": {"aud": strings.ToUpper(upstreamClient)}, "several audiences without azp": {"aud": []string{upstreamClient, "x"}},
		"azp is another": {"azp": "somebody"}, "azp is another, several audiences": {"aud": []string{upstreamClient, "x"}, "azp": "x"},
		"expired a minute ago": {"exp": now - 60}, "expired long ago": {"exp": 1}, "iat in the future": {"iat": now + 3600}, "nbf in the future": {"nbf": now + 3600},
		"another nonce": {"nonce": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, "a wrong at_hash": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
		"a person whom nobody may become": {"preferred_username": "rdsdb", "sub": "own|other"}, "the database user of another person": {"sub": "own|other"},
	} {
		wrong[what] = claims
	}
	return wrong
}

// wrongPayloads change the JSON itself.
func wrongPayloads() map[string]func([]byte) []byte {
	insert := func(member string) func([]byte) []byte {
		return func(claims []byte) []byte { return append([]byte("{"+member+","), claims[1:]...) }
	}
	return map[string]func([]byte) []byte{
		"sub twice":             insert(`"sub":"own|admin"`),
		"iss twice":             insert(`"iss":"x"`),
		"aud twice":             insert(`"aud":"x"`),
		"nonce twice":           insert(`"nonce":"x"`),
		"SUB beside sub":        insert(`"SUB":"own|admin"`),
		"Iss beside iss":        insert(`"Iss":"x"`),
		"aUd beside aud":        insert(`"aUd":"x"`),
		"Email_Verified beside": insert(`"Email_Verified":true`),
		"trailing bytes":        func(claims []byte) []byte { return append(claims, " trailing"...) },
		"a list":                func(claims []byte) []byte { return append(append([]byte("["), claims...), ']') },
		"no JSON":               func([]byte) []byte { return []byte("alice") },
		"nothing":               func([]byte) []byte { return nil },
		"cut short":             func(claims []byte) []byte { return claims[:len(claims)-1] },
		"bytes that are no text": func(claims []byte) []byte {
			return bytes.Replace(claims, []byte("own|alice"), []byte("own|alice\xff"), 1)
		},
	}
}

// forgeries are tokens whose signature is none, or is by the wrong key.
func (l *lab) forgeries() map[string]func(claims []byte) string {
	thief, err := rsa.GenerateKey(rand.Reader, 2048)
	l.must(err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	l.must(err)
	stolen := &upstream{key: thief}
	public, err := x509.MarshalPKIXPublicKey(&l.own.key.PublicKey)
	l.must(err)
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	header := func(changes map[string]any) map[string]any { return changed(rs256(), changes) }
	cut := func(token string) string { return token[:strings.LastIndex(token, ".")+1] }
	forged := map[string]func([]byte) string{
		"signed by another key":              func(c []byte) string { return stolen.sign(rs256(), c) },
		"signed by another key, unknown kid": func(c []byte) string { return stolen.sign(header(map[string]any{"kid": "key-2"}), c) },
		"signed by another key, no kid":      func(c []byte) string { return stolen.sign(header(map[string]any{"kid": nil}), c) },
		"kid is a path":                      func(c []byte) string { return stolen.sign(header(map[string]any{"kid": "../../dev/null"}), c) },
		"the kid of another IdP":             func(c []byte) string { return stolen.sign(header(map[string]any{"kid": "other"}), c) },
		"the key in the header": func(c []byte) string {
			return stolen.sign(header(map[string]any{"jwk": jwk(&thief.PublicKey, keyID)}), c)
		},
		"the key's address in jku":   func(c []byte) string { return stolen.sign(header(map[string]any{"jku": l.other.issuer + "/keys"}), c) },
		"the key's address in x5u":   func(c []byte) string { return stolen.sign(header(map[string]any{"x5u": l.other.issuer + "/keys"}), c) },
		"a certificate in x5c":       func(c []byte) string { return stolen.sign(header(map[string]any{"x5c": []string{"AAAA"}}), c) },
		"an unknown critical header": func(c []byte) string { return l.own.sign(header(map[string]any{"crit": []string{"x"}, "x": 1}), c) },
		"a payload that is not encoded": func(c []byte) string {
			return l.own.sign(header(map[string]any{"b64": false, "crit": []string{"b64"}}), c)
		},
		"no signature":            func(c []byte) string { return cut(l.own.sign(rs256(), c)) },
		"no last part":            func(c []byte) string { return signingInput(rs256(), c) },
		"a signature that is cut": func(c []byte) string { t := l.own.sign(rs256(), c); return t[:len(t)-8] },
		"a signature of zeros": func(c []byte) string {
			return signingInput(rs256(), c) + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 256))
		},
		"another part":                          func(c []byte) string { return l.own.sign(rs256(), c) + ".x" },
		"no alg":                                func(c []byte) string { return l.own.sign(header(map[string]any{"alg": nil}), c) },
		"the alg of another signature":          func(c []byte) string { return l.own.sign(header(map[string]any{"alg": "PS256"}), c) },
		"the alg of another hash":               func(c []byte) string { return l.own.sign(header(map[string]any{"alg": "RS512"}), c) },
		"the alg of a curve":                    func(c []byte) string { return l.own.sign(header(map[string]any{"alg": "ES256"}), c) },
		"signed by a curve's key under the kid": func(c []byte) string { return signCurve(curve, c) },
		"claims of another token":               func(c []byte) string { return crossed(l.own, c) },
		"no token":                              func([]byte) string { return "" },
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE"} {
		forged["alg "+alg] = func(c []byte) string { return signingInput(map[string]any{"alg": alg, "kid": keyID}, c) + "." }
		forged["alg "+alg+" with a signature"] = func(c []byte) string { return l.own.sign(map[string]any{"alg": alg, "kid": keyID}, c) }
	}
	for what, secret := range map[string][]byte{"the public key as PEM": asPEM, "the public key as DER": public, "the client's secret": []byte(upstreamSecret), "nothing": {}} {
		for _, alg := range []string{"HS256", "HS512"} {
			forged[alg+" by "+what] = func(c []byte) string { return signByHMAC(alg, secret, c) }
		}
	}
	return forged
}

func signByHMAC(alg string, secret, claims []byte) string {
	hash := crypto.SHA256
	if alg == "HS512" {
		hash = crypto.SHA512
	}
	input := signingInput(map[string]any{"alg": alg, "kid": keyID, "typ": "JWT"}, claims)
	mac := hmac.New(hash.New, secret)
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func signCurve(key *ecdsa.PrivateKey, claims []byte) string {
	input := signingInput(map[string]any{"alg": "ES256", "kid": keyID}, claims)
	hash := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, hash[:])
	if err != nil {
		panic(err) // never fails with a key of P-256
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// crossed has a good signature, of other claims.
func crossed(u *upstream, claims []byte) string {
	good := strings.Split(u.sign(rs256(), claims), ".")
	other := strings.Split(u.sign(rs256(), bytes.Replace(claims, []byte("alice"), []byte("admin"), -1)), ".")
	return other[0] + "." + other[1] + "." + good[2]
}
