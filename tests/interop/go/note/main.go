// Command note opens and signs notes with golang.org/x/mod/sumdb/note.
//
//	note open VKEY < note    prints what Go sees in it, as JSON
//	note sign SKEY < text    prints the note that Go signs
//	note key NAME SEED       prints the keys of a hexadecimal seed, as JSON
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/mod/sumdb/note"
)

type opened struct {
	Text       string   `json:"text"`
	Signed     []string `json:"signed"`
	Unverified []string `json:"unverified"`
}

type keys struct {
	Signer   string `json:"signer"`
	Verifier string `json:"verifier"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "open":
		return open(args[1])
	case len(args) == 2 && args[0] == "sign":
		return sign(args[1])
	case len(args) == 3 && args[0] == "key":
		return key(args[1], args[2])
	}
	return fmt.Errorf("expected open VKEY, sign SKEY or key NAME SEED")
}

func open(vkey string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	n, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(opened{n.Text, names(n.Sigs), names(n.UnverifiedSigs)})
}

func names(signatures []note.Signature) []string {
	found := []string{}
	for _, s := range signatures {
		found = append(found, s.Name)
	}
	return found
}

func sign(skey string) error {
	signer, err := note.NewSigner(skey)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	data, err := note.Sign(&note.Note{Text: string(text)}, signer)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(data)
	return err
}

func key(name, seed string) error {
	secret, err := hex.DecodeString(seed)
	if err != nil || len(secret) != ed25519.SeedSize {
		return fmt.Errorf("expected a seed of 32 bytes")
	}
	skey, vkey, err := note.GenerateKey(bytes.NewReader(secret), name)
	if err != nil {
		return err
	}
	public := ed25519.NewKeyFromSeed(secret).Public().(ed25519.PublicKey)
	again, err := note.NewEd25519VerifierKey(name, public)
	if err != nil || again != vkey {
		return fmt.Errorf("two verifier keys of one seed differ")
	}
	return json.NewEncoder(os.Stdout).Encode(keys{skey, vkey})
}
