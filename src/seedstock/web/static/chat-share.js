// Links that show a branch of a chat to whoever has them.
import { announce } from "./app.js";
import { api } from "./chat-api.js";
import { copyButton, iconButton, make } from "./chat-view.js";

const get = (id) => document.getElementById(id);

export function setUpSharing(currentChat) {
  const dialog = get("share");
  const fail = (error) => {
    get("share-error").hidden = !error;
    get("share-error").textContent = error?.message ?? "";
  };
  const row = (share) => {
    const address = make("input", "mono");
    address.type = "text";
    address.readOnly = true;
    address.value = share.url;
    address.setAttribute("aria-label", "Link");
    address.addEventListener("focus", () => address.select());
    const revoke = iconButton("trash", "Take the link back", () => act(async () => {
      await api("DELETE", `/api/chats/${currentChat().id}/shares/${share.token}`);
      announce("The link opens nothing any more");
    }));
    return make("li", "", address, copyButton(() => share.url, "Copy the link"), revoke);
  };
  const draw = async () => {
    const { shares } = await api("GET", `/api/chats/${currentChat().id}`);
    get("share-list").replaceChildren(...shares.map(row));
  };
  const act = async (change) => {
    try {
      await change();
      await draw();
      fail(null);
    } catch (error) {
      fail(error);
    }
  };
  get("share-open").addEventListener("click", () => {
    dialog.showModal();
    act(async () => {});
  });
  get("share-make").addEventListener("click", () => act(async () => {
    const { id, end } = currentChat();
    await api("POST", `/api/chats/${id}/shares`, { end });
    announce("The link is made");
  }));
  get("share-close").addEventListener("click", () => dialog.close());
}
