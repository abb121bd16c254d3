// A subscriber in Go, standard library only: verifies each webhook, prints its type and recipient.
//
//	WEBHOOK_SECRET=whsec_… go run docs/receivers/receiver.go 9000
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

type event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data struct {
		Recipient string `json:"recipient"`
	} `json:"data"`
}

func isAuthentic(secret string, body []byte, signature string) bool {
	given, err := hex.DecodeString(signature)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return err == nil && hmac.Equal(given, mac.Sum(nil))
}

func main() {
	secret := os.Getenv("WEBHOOK_SECRET")
	if secret == "" || len(os.Args) != 2 {
		log.Fatal("usage: WEBHOOK_SECRET=whsec_… receiver PORT")
	}
	receive := func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, 8<<20))
		if err != nil || !isAuthentic(secret, body, request.Header.Get("X-Webhook-Signature")) {
			answer.WriteHeader(http.StatusUnauthorized)
			return
		}
		var received event
		if err := json.Unmarshal(body, &received); err != nil {
			answer.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Println(received.Type, received.Data.Recipient, received.ID)
		answer.WriteHeader(http.StatusNoContent)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(receive)))
}
