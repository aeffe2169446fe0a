// A button over every piece of code that puts it on the clipboard; printed words have none.
addEventListener("DOMContentLoaded", () => {
    for (const block of document.querySelectorAll(".bd-article div.highlight")) {
        if (block.closest(".stream, .text_plain")) continue;
        const button = document.createElement("button");
        button.className = "copy";
        button.type = "button";
        button.textContent = "Copy";
        button.setAttribute("aria-label", "Copy this code");
        button.addEventListener("click", async () => {
            await navigator.clipboard.writeText(block.querySelector("pre").innerText);
            button.textContent = "Copied";
            setTimeout(() => { button.textContent = "Copy"; }, 1500);
        });
        block.append(button);
    }
});
