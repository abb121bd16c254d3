<?php
// A subscriber in PHP, without packages: verifies each webhook, prints its type and recipient.
//
//     WEBHOOK_SECRET=whsec_… php -S 127.0.0.1:9000 docs/receivers/receiver.php

$secret = getenv('WEBHOOK_SECRET');
$body = file_get_contents('php://input'); // the raw bytes: the signature covers them, not what they parse to
$signature = $_SERVER['HTTP_X_WEBHOOK_SIGNATURE'] ?? '';

if (!$secret || !hash_equals(hash_hmac('sha256', $body, $secret), $signature)) {
    http_response_code(401);
    exit;
}

$event = json_decode($body, true);
file_put_contents('php://stdout', "{$event['type']} {$event['data']['recipient']} {$event['id']}\n");
http_response_code(204);
