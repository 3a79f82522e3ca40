package orders;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.springframework.http.HttpStatus;
import org.springframework.http.ProblemDetail;
import org.springframework.security.access.prepost.PreAuthorize;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RestController;

/** What the prefixes /app/orders and /app/rooms of examples/spring-app.yaml lead to. */
@RestController
class Orders {
    record Order(String item, int count) {}

    record Placed(String item, int count, String by) {}

    record Said(String text, String by) {}

    static class SoldOut extends RuntimeException {
        SoldOut(String item) {
            super(item + " is sold out");
        }
    }

    private static final int STOCK = 10;

    private final List<Placed> placed = new CopyOnWriteArrayList<>();

    /** SEND /app/orders/place; the answer goes to /user/queue/replies of the sender. */
    @PostMapping("/stomp/orders/place")
    Placed place(@RequestBody Order order, @AuthenticationPrincipal Jwt sender) {
        if (order.count() > STOCK) {
            throw new SoldOut(order.item());
        }
        var answer = new Placed(order.item(), order.count(), sender.getSubject());
        placed.add(answer);
        return answer;
    }

    /** SUBSCRIBE /app/orders/mine; the answer is the one message on this subscription. */
    @GetMapping("/stomp/orders/mine")
    List<Placed> mine(@AuthenticationPrincipal Jwt sender) {
        return placed.stream().filter(order -> order.by().equals(sender.getSubject())).toList();
    }

    /** SEND /app/orders/forget, for administrators; the sender gets a RECEIPT, for there is nothing to answer. */
    @PostMapping("/stomp/orders/forget")
    @PreAuthorize("hasRole('admin')")
    void forget() {
        placed.clear();
    }

    /** SEND /app/rooms/{room}/say; the answer goes to all who are subscribed to /topic/orders/{room}. */
    @PostMapping("/stomp/rooms/{room}/say")
    Said say(@PathVariable String room, @RequestBody String text, @AuthenticationPrincipal Jwt sender) {
        return new Said(text, sender.getSubject() + "@" + room);
    }

    /** Goes to /user/queue/errors of the sender. */
    @ExceptionHandler
    ProblemDetail soldOut(SoldOut error) {
        return ProblemDetail.forStatusAndDetail(HttpStatus.CONFLICT, error.getMessage());
    }
}
