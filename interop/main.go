// Command interop checks a running indelible server with the reference
// implementations of golang.org/x/mod/sumdb, and can serve a tampered copy of it.
//
//	interop check -url http://127.0.0.1:7070 -log prod -key prod.vkey
//	interop tamper -url http://127.0.0.1:7070 -path tile/0/007 -listen 127.0.0.1:0
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: interop check|tamper [flags]")
	}
	var err error
	switch os.Args[1] {
	case "check":
		err = check(os.Args[2:])
	case "tamper":
		err = tamper(os.Args[2:])
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil {
		log.Fatalf("interop: %v", err)
	}
}

type server struct{ url, log string }

func (s server) get(path string, accept string) ([]byte, error) {
	request, err := http.NewRequest("GET", s.url+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	if token := os.Getenv("INDELIBLE_TOKEN"); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, body)
	}
	return body, err
}

func (s server) json(path string, value any) error {
	body, err := s.get(path, "application/json")
	if err != nil {
		return err
	}
	return json.Unmarshal(body, value)
}

// checkpoint is a parsed and verified checkpoint.
type checkpoint struct {
	size int64
	root tlog.Hash
}

func (s server) checkpoint(verifier note.Verifier, size string) (checkpoint, error) {
	body, err := s.get("/v1/logs/"+s.log+"/checkpoint"+size, "text/plain")
	if err != nil {
		return checkpoint{}, err
	}
	return parse(body, verifier)
}

func parse(body []byte, verifier note.Verifier) (checkpoint, error) {
	opened, err := note.Open(body, note.VerifierList(verifier))
	if err != nil {
		return checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 3 || lines[0] != verifier.Name() {
		return checkpoint{}, fmt.Errorf("checkpoint has origin %q, want %q", lines[0], verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return checkpoint{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return checkpoint{size, root}, err
}

func hashes(texts []string) ([]tlog.Hash, error) {
	parsed := make([]tlog.Hash, 0, len(texts))
	for _, text := range texts {
		bytes, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(bytes) != tlog.HashSize {
			return nil, fmt.Errorf("not a hash: %q", text)
		}
		parsed = append(parsed, tlog.Hash(bytes))
	}
	return parsed, nil
}

func check(arguments []string) error {
	flags := flag.NewFlagSet("check", flag.ExitOnError)
	address := flags.String("url", "http://127.0.0.1:7070", "server")
	name := flags.String("log", "", "log")
	keyFile := flags.String("key", "", "file with the vkey")
	flags.Parse(arguments)
	key, err := os.ReadFile(*keyFile)
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		return err
	}
	s := server{*address, *name}
	latest, err := s.checkpoint(verifier, "")
	if err != nil {
		return err
	}
	// Records at the edges of bundles and segments, and some between.
	var records int
	for _, index := range []int64{0, 1, 255, 256, 257, 4095, 65535, 65536, 65537, latest.size / 2, latest.size - 1} {
		if index >= latest.size {
			continue
		}
		if err := s.checkRecord(verifier, index); err != nil {
			return fmt.Errorf("record %d: %w", index, err)
		}
		records++
	}
	var trees int
	for _, size := range []int64{1, 2, 255, 256, 257, 65535, 65536, 65537, latest.size - 1, latest.size} {
		if size < 1 || size > latest.size {
			continue
		}
		if err := s.checkTree(verifier, size, latest); err != nil {
			return fmt.Errorf("size %d: %w", size, err)
		}
		trees++
	}
	fmt.Printf("golang.org/x/mod/sumdb: %d records and %d checkpoints of a log of %d hold\n", records, trees, latest.size)
	return nil
}

// checkRecord verifies the receipt of one record, as JSON and as tlog-proof.
func (s server) checkRecord(verifier note.Verifier, index int64) error {
	record, err := s.get(fmt.Sprintf("/v1/logs/%s/records/%d", s.log, index), "*/*")
	if err != nil {
		return err
	}
	var receipt struct {
		Proof      []string `json:"inclusion_proof"`
		Checkpoint string   `json:"checkpoint"`
	}
	path := fmt.Sprintf("/v1/logs/%s/receipts/%d", s.log, index)
	if err := s.json(path, &receipt); err != nil {
		return err
	}
	if err := verify(verifier, record, index, receipt.Proof, receipt.Checkpoint); err != nil {
		return err
	}
	file, err := s.get(path, "text/plain")
	if err != nil {
		return err
	}
	head, signed, found := strings.Cut(string(file), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" || lines[1] != fmt.Sprintf("index %d", index) {
		return errors.New("not a tlog-proof")
	}
	return verify(verifier, record, index, lines[2:], signed)
}

func verify(verifier note.Verifier, record []byte, index int64, texts []string, signed string) error {
	tree, err := parse([]byte(signed), verifier)
	if err != nil {
		return err
	}
	proof, err := hashes(texts)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, tree.size, tree.root, index, tlog.RecordHash(record))
}

// checkTree verifies that the latest checkpoint continues the tree of a size; the
// checkpoint of that size too, where the log had a head of it and so signed one.
func (s server) checkTree(verifier note.Verifier, size int64, latest checkpoint) error {
	var answer struct {
		Proof    []string `json:"proof"`
		FromRoot string   `json:"from_root"`
	}
	if err := s.json(fmt.Sprintf("/v1/logs/%s/consistency?from=%d&to=%d", s.log, size, latest.size), &answer); err != nil {
		return err
	}
	proof, err := hashes(answer.Proof)
	if err != nil {
		return err
	}
	root, err := tlog.ParseHash(answer.FromRoot)
	if err != nil {
		return err
	}
	older, err := s.checkpoint(verifier, fmt.Sprintf("?size=%d", size))
	switch {
	case err == nil && older.root != root:
		return fmt.Errorf("the signed root is %v, the told one %v", older.root, root)
	case err != nil && (size == latest.size || !strings.Contains(err.Error(), "was signed")):
		return err
	}
	return tlog.CheckTree(proof, latest.size, latest.root, size, root)
}

// tamper serves the server's answers with one byte of one path changed.
func tamper(arguments []string) error {
	flags := flag.NewFlagSet("tamper", flag.ExitOnError)
	address := flags.String("url", "http://127.0.0.1:7070", "server")
	path := flags.String("path", "", "end of the path whose answer is changed")
	listen := flags.String("listen", "127.0.0.1:0", "address")
	flags.Parse(arguments)
	target, err := url.Parse(*address)
	if err != nil {
		return err
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(response *http.Response) error {
		if !strings.HasSuffix(response.Request.URL.Path, *path) || response.StatusCode != http.StatusOK {
			return nil
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		body[len(body)/2] ^= 1
		response.Body = io.NopCloser(bytes.NewReader(body))
		return nil
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	return http.Serve(listener, proxy)
}
